from typing import Any

import pytest

from app.task_types import PermanentError
from tests.task_types.data_processing.conftest import Process

ROWS: dict[str, Any] = {
    "rows": [
        {"g": "a", "n": 1, "x": 0.1, "t": "p", "ok": True, "day": "2026-01-02"},
        {"g": "a", "n": 2, "x": 0.2, "t": "q", "ok": False, "day": "2026-01-01"},
        {"g": "a", "n": 2, "x": None, "t": "q", "ok": None, "day": None},
        {"g": None, "n": 9, "x": 0.3, "t": None, "ok": True, "day": "2026-01-03"},
        {"g": "b", "n": None, "x": None, "t": "r", "ok": True, "day": None},
    ]
}


def aggregated(process: Process, **options: Any) -> Any:
    return process(ROWS, {"step": "aggregate", **options})["aggregate"]


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ({"function": "count"}, 5),
        ({"function": "count", "column": "x"}, 3),
        ({"function": "count_distinct", "column": "n"}, 3),
        ({"function": "sum", "column": "n"}, 14),
        ({"function": "sum", "column": "x"}, pytest.approx(0.6)),
        ({"function": "avg", "column": "n"}, 3.5),
        ({"function": "min", "column": "t"}, "p"),
        ({"function": "max", "column": "day"}, "2026-01-03"),
        ({"function": "min", "column": "ok"}, False),
        ({"function": "median", "column": "n"}, 2.0),
        ({"function": "quantile", "quantile": 0.75, "column": "n"}, 3.75),
        ({"function": "quantile", "quantile": 1, "column": "x"}, 0.3),
        ({"function": "stddev", "column": "n"}, pytest.approx(3.6968455021364721)),
    ],
)
def test_what_each_metric_gives(process: Process, metric: dict[str, Any], value: Any) -> None:
    assert aggregated(process, metrics=[{**metric, "name": "it"}]) == [{"it": value}]


def test_groups_come_in_order_with_the_null_last(process: Process) -> None:
    assert aggregated(process, group_by=["g"]) == [
        {"g": "a", "count": 3}, {"g": "b", "count": 1}, {"g": None, "count": 1},
    ]  # fmt: skip


def test_groups_may_be_sorted_and_cut(process: Process) -> None:
    options = {"group_by": ["g"], "metrics": [{"function": "sum", "column": "n"}]}
    order = [{"column": "sum_n", "descending": True}]
    assert aggregated(process, **options, order_by=order, limit=2) == [{"g": None, "sum_n": 9}, {"g": "a", "sum_n": 5}]
    assert aggregated(process, **options, order_by=[{"column": "sum_n"}])[-1] == {"g": "b", "sum_n": None}


def test_figures_of_nothing_are_null_and_a_single_value_has_no_deviation(process: Process) -> None:
    metrics = [{"function": name, "column": "n", "name": name} for name in ("sum", "avg", "median", "stddev", "max")]
    last = aggregated(process, group_by=["g"], metrics=metrics)
    assert last[1] == {"g": "b", "sum": None, "avg": None, "median": None, "stddev": None, "max": None}
    assert last[2]["stddev"] is None


def test_without_options_the_numeric_columns_are_summarised(process: Process) -> None:
    assert aggregated(process) == [
        {
            "count": 5,
            "sum_n": 14, "avg_n": 3.5, "min_n": 1, "max_n": 9,
            "sum_x": pytest.approx(0.6), "avg_x": pytest.approx(0.2), "min_x": 0.1, "max_x": 0.3,
        }
    ]  # fmt: skip


def test_group_by_alone_counts(process: Process) -> None:
    assert aggregated(process, group_by=["ok"])[0] == {"ok": False, "count": 1}


def test_an_aggregate_may_be_filtered_and_aggregated_again(process: Process) -> None:
    result = process(
        ROWS,
        {"step": "aggregate", "group_by": ["g"]},
        {"step": "transform", "filter": {"column": "g", "operator": "is_not_null"}},
        {"step": "validate", "rules": [{"column": "count", "min": 2}]},
        {"step": "aggregate", "metrics": [{"function": "sum", "column": "count", "name": "rows"}]},
    )
    assert result["aggregate"] == [{"rows": 3}]
    assert [step["rows_out"] for step in result["steps"]] == [5, 3, 2, 1, 1]


def test_sums_of_integers_do_not_overflow(process: Process) -> None:
    largest = 2**63 - 1
    result = process({"rows": [{"n": largest}] * 3}, "aggregate")
    assert result["aggregate"][0]["sum_n"] == 3 * largest


def test_sums_of_numbers_do_not_lose_the_small_ones(process: Process) -> None:
    rows = [{"x": 1e16}, *[{"x": 1.0}] * 1000, {"x": -1e16}]
    step = {"step": "aggregate", "metrics": [{"function": "sum", "column": "x"}]}
    assert process({"rows": rows}, step)["aggregate"] == [{"sum_x": 1000.0}]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"group_by": ["g", "G"]}, r"/group_by/1: there is no column 'G'"),
        ({"metrics": [{"function": "sum", "column": "z"}]}, r"/metrics/0/column: there is no column 'z'"),
        ({"metrics": [{"function": "sum", "column": "t"}]}, r"/metrics/0/column: sum needs numbers, and 't' is text"),
        ({"metrics": [{"function": "avg", "column": "day"}]}, r"/metrics/0/column: avg needs numbers, and 'day' is"),
    ],
)
def test_an_option_that_does_not_fit_the_data_is_told_by_its_member(
    process: Process, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(PermanentError, match="/processing_steps/0" + sentence):
        aggregated(process, **options)
