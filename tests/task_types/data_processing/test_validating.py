from typing import Any

import pytest

from app.task_types import PermanentError
from tests.task_types.data_processing.conftest import Process

ROWS: dict[str, Any] = {
    "rows": [
        {"id": "a", "n": 1, "day": "2026-01-01", "ok": True, "code": "10"},
        {"id": "b", "n": 5, "day": "2026-06-01", "ok": False, "code": "x"},
        {"id": "a", "n": None, "day": None, "ok": None, "code": None},
        {"id": None, "n": 9, "day": "2026-12-31", "ok": True, "code": "30"},
        {"id": "c", "n": 9, "day": "2027-01-01", "ok": True, "code": "40"},
    ]
}


def check(process: Process, *rules: dict[str, Any]) -> tuple[dict[str, int], list[int]]:
    """Rejected rows by reason, and the numbers (from 1) of the rows kept."""
    numbered = {"rows": [{**row, "number": place} for place, row in enumerate(ROWS["rows"], 1)]}
    result = process(numbered, {"step": "validate", "rules": list(rules)})
    return result["rejected"]["by_reason"], [row["number"] for row in result["rows"]]


@pytest.mark.parametrize(
    ("rule", "reason", "kept"),
    [
        ({"column": "id", "required": True}, "id.required", [1, 2, 3, 5]),
        ({"column": "n", "min": 5}, "n.min", [2, 3, 4, 5]),
        ({"column": "n", "max": 5.5}, "n.max", [1, 2, 3]),
        ({"column": "day", "min": "2026-06-01"}, "day.min", [2, 3, 4, 5]),
        ({"column": "day", "max": "2026-12-31"}, "day.max", [1, 2, 3, 4]),
        ({"column": "id", "min": "b"}, "id.min", [2, 4, 5]),
        ({"column": "id", "pattern": "^[ab]$"}, "id.pattern", [1, 2, 3, 4]),
        ({"column": "n", "allowed": [1, 5]}, "n.allowed", [1, 2, 3]),
        ({"column": "ok", "allowed": [True]}, "ok.allowed", [1, 3, 4, 5]),
        ({"column": "day", "allowed": ["2026-01-01"]}, "day.allowed", [1, 3]),
        ({"column": "id", "unique": True}, "id.unique", [1, 2, 4, 5]),
        ({"column": "code", "type": "integer"}, "code.type", [1, 3, 4, 5]),
    ],
)
def test_each_rule_keeps_its_rows_out(process: Process, rule: dict[str, Any], reason: str, kept: list[int]) -> None:
    assert check(process, rule) == ({reason: 5 - len(kept)}, kept)


def test_without_rules_clean_rows_all_stay(process: Process) -> None:
    assert check(process) == ({}, [1, 2, 3, 4, 5])


def test_a_row_counts_under_its_first_reason_and_its_sample_shows_all(process: Process) -> None:
    result = process(
        ROWS,
        {
            "step": "validate",
            "rules": [
                {"column": "n", "max": 5},
                {"column": "id", "required": True},
                {"column": "day", "required": True},
            ],
        },
    )
    assert result["rejected"] == {
        "total": 3,
        "by_reason": {"n.max": 2, "day.required": 1},
        "samples": [
            {"row": 3, "reasons": ["day.required"], "values": {"day": None}},
            {"row": 4, "reasons": ["n.max", "id.required"], "values": {"n": "9", "id": None}},
            {"row": 5, "reasons": ["n.max"], "values": {"n": "9"}},
        ],
    }


def test_a_typed_column_has_that_type_from_then_on(process: Process) -> None:
    rules = [{"column": "code", "type": "integer", "min": 20}]
    result = process(
        ROWS,
        {"step": "validate", "rules": rules},
        {"step": "aggregate", "metrics": [{"function": "sum", "column": "code"}]},
    )
    assert result["rejected"]["by_reason"] == {"code.type": 1, "code.min": 1}
    assert result["aggregate"] == [{"sum_code": 70}]


def test_a_type_with_a_format(process: Process) -> None:
    source = {"rows": [{"d": "31/12/2026"}, {"d": "2026-12-31"}]}
    result = process(source, {"step": "validate", "rules": [{"column": "d", "type": "date", "format": "%d/%m/%Y"}]})
    assert (result["rows"], result["rejected"]["by_reason"]) == ([{"d": "2026-12-31"}], {"d.type": 1})


def test_uniqueness_is_asked_of_the_rows_that_pass_the_rest(process: Process) -> None:
    source = {"rows": [{"k": "a", "n": -1}, {"k": "a", "n": 1}, {"k": "a", "n": 2}]}
    result = process(
        source, {"step": "validate", "rules": [{"column": "k", "unique": True}, {"column": "n", "min": 0}]}
    )
    assert result["rows"] == [{"k": "a", "n": 1}]
    assert result["rejected"]["by_reason"] == {"n.min": 1, "k.unique": 1}
    assert result["rejected"]["samples"][1] == {"row": 3, "reasons": ["k.unique"], "values": {"k": "a"}}


def test_counts_of_several_steps_add_up_and_samples_end_at_ten(process: Process) -> None:
    source = {"rows": [{"n": number} for number in range(30)]}
    low = {"step": "validate", "rules": [{"column": "n", "min": 8}]}
    high = {"step": "validate", "rules": [{"column": "n", "max": 19}]}
    result = process(source, low, high)
    assert result["rejected"]["by_reason"] == {"n.min": 8, "n.max": 10}
    assert [sample["row"] for sample in result["rejected"]["samples"]] == [1, 2, 3, 4, 5, 6, 7, 8, 21, 22]
    assert (result["input_rows"], result["output_rows"]) == (30, 12)


def test_a_long_value_is_cut_in_its_sample(process: Process) -> None:
    result = process({"rows": [{"t": "x" * 5000}]}, {"step": "validate", "rules": [{"column": "t", "pattern": "^y"}]})
    assert result["rejected"]["samples"][0]["values"] == {"t": "x" * 200}


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"column": "N", "min": 1}, r"/rules/0/column: there is no column 'N'; there are 'id', 'n', 'day'"),
        ({"column": "n", "min": "one"}, r"/rules/0/min: 'one' does not fit a column of type integer: a number is"),
        ({"column": "id", "max": 5}, r"/rules/0/max: 5 does not fit a column of type text: a string is needed"),
        ({"column": "day", "min": "yesterday"}, r"/rules/0/min: 'yesterday' is not a date"),
        ({"column": "ok", "min": 0}, r"/rules/0/min: needs numbers, text or dates, and 'ok' is of type boolean"),
        ({"column": "n", "pattern": "1"}, r"/rules/0/pattern: needs text, and 'n' is of type integer"),
        ({"column": "id", "pattern": "("}, r"/rules/0/pattern: '\(' is not a regular expression"),
        ({"column": "n", "allowed": [1, True]}, r"/rules/0/allowed/1: True does not fit a column of type integer"),
    ],
)
def test_a_rule_that_does_not_fit_the_data_is_told_by_its_member(
    process: Process, rule: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(PermanentError, match=r"^/processing_steps/0" + sentence):
        process(ROWS, {"step": "validate", "rules": [rule]})
