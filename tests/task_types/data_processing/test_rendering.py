import json
from typing import Any

import pytest

from app.task_types.data_processing.rendering import MAX_RESULT_BYTES, MAX_RESULT_ROWS
from tests.task_types.data_processing.conftest import Process

ALL_ROWS: dict[str, Any] = {"step": "transform"}


def derived(process: Process, expression: dict[str, Any]) -> Any:
    step = {"step": "transform", "derive": [{"column": "v", "expression": expression}]}
    return process({"rows": [{"a": 1}]}, step)["rows"][0]["v"]


def test_what_no_json_number_can_be_is_null(process: Process) -> None:
    huge = {"function": "multiply", "arguments": [{"value": 1e308}, {"value": 10.0}]}
    assert derived(process, huge) is None


@pytest.mark.parametrize(("text", "value"), [("2.50", 2.5), ("3.000000", 3), ("0.000001", 0.000001)])
def test_decimals_are_numbers_and_whole_ones_integers(process: Process, text: str, value: float) -> None:
    result = process({"rows": [{"d": text}], "columns": {"d": "decimal"}}, ALL_ROWS)["rows"][0]["d"]
    assert (result, type(result)) == (value, type(value))


def test_dates_beyond_what_python_knows(process: Process) -> None:
    far = {"function": "add", "arguments": [
        {"function": "to_date", "arguments": [{"function": "to_timestamp", "arguments": [{"value": "9999-12-31"}]}]},
        {"value": 1},
    ]}  # fmt: skip
    assert derived(process, far) == "10000-01-01"


def test_a_large_result_is_cut_and_says_so(process: Process) -> None:
    rows = [{"n": number} for number in range(MAX_RESULT_ROWS + 1)]
    result = process({"rows": rows}, ALL_ROWS)
    assert (result["rows"], result["truncated"]) == (rows[:-1], True)
    assert result["output_rows"] == len(rows)
    whole = process({"rows": rows[:-1]}, ALL_ROWS)
    assert (len(whole["rows"]), whole["truncated"]) == (MAX_RESULT_ROWS, False)


def test_wide_rows_are_cut_by_their_size(process: Process) -> None:
    rows = [{"text": "x" * 20_000} for _ in range(50)]
    result = process({"rows": rows}, ALL_ROWS)
    assert result["truncated"]
    assert MAX_RESULT_BYTES - 20_100 < len(json.dumps(result["rows"])) <= MAX_RESULT_BYTES + 100


def test_rows_and_aggregate_are_two_members(process: Process) -> None:
    assert "aggregate" not in process({"rows": [{"n": 1}]}, "validate")
    assert "rows" not in process({"rows": [{"n": 1}]}, "aggregate", "validate")
