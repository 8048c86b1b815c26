"""The protocol's own example, and the examples that /docs shows."""

import csv
import json
import re
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from app.task_types.data_processing.catalogue import SHIPPED
from app.task_types.data_processing.handler import EXAMPLES
from tests.task_types.contexts import Report, context
from tests.task_types.data_processing.conftest import Process

MOMENT = re.compile(r"\d{4}-(0[1-9]|1[0-2])-([0-2]\d|3[01])T[\d:]{8}Z")


def acceptable(path: Path) -> tuple[list[dict[str, str]], int, int]:
    """The sample's clean rows as the csv module reads them, how many lines there are, and how many are dirty."""
    with path.open(newline="") as text:
        lines = list(csv.reader(text))
    header, rows = lines[0], lines[1:]
    clean: list[dict[str, str]] = []
    seen: set[str] = set()
    for row in rows:
        order = dict(zip(header, row, strict=False))
        if len(row) == len(header) and is_clean(order) and order["order_id"] not in seen:
            seen.add(order["order_id"])
            clean.append(order)
    return clean, len(rows), len(rows) - len(clean)


def is_clean(order: dict[str, str]) -> bool:
    day = order["ordered_at"][:10]
    return bool(
        MOMENT.fullmatch(order["ordered_at"])
        and day != "2026-02-31"
        and order["customer_id"]
        and re.fullmatch("[A-Z]{2}", order["country"])
        and re.fullmatch(r"[1-9]\d*", order["quantity"])
        and re.fullmatch(r"\d+\.\d\d", order["unit_price"])
        and order["status"] in {"paid", "shipped", "returned", "cancelled"}
    )


@pytest.fixture
def result(process: Process) -> dict[str, Any]:
    return process("data_stream_1", "validate", "transform", "aggregate")


def test_the_protocols_example_gives_what_the_csv_module_computes(result: dict[str, Any]) -> None:
    clean, lines, dirty = acceptable(SHIPPED.parent / "data_stream_1.csv")
    assert (result["input_rows"], result["rejected"]["total"]) == (lines, dirty)
    orders: defaultdict[str, list[Decimal]] = defaultdict(list)
    customers: defaultdict[str, set[str]] = defaultdict(set)
    for order in clean:
        if order["status"] in {"paid", "shipped"}:
            orders[order["country"]].append(Decimal(order["amount"]))
            customers[order["country"]].add(order["customer_id"])
    expected = [
        {
            "country": country,
            "orders": len(revenues),
            "customers": len(customers[country]),
            "revenue": float(sum(revenues)),
            "median_amount": pytest.approx(float(median(revenues))),
        }
        for country, revenues in sorted(orders.items(), key=lambda item: -sum(item[1]))
    ]
    assert result["aggregate"] == expected
    assert len(expected) == 8


@pytest.mark.parametrize("steps", [["validate", "aggregate"], ["validate", "transform"], ["validate"] * 2])
def test_the_steps_do_not_need_each_other(process: Process, steps: list[str]) -> None:
    assert process("data_stream_1", *steps)["rejected"]["total"] == 31


def test_dirty_rows_are_counted_by_their_first_reason(result: dict[str, Any]) -> None:
    rejected = result["rejected"]
    assert sum(rejected["by_reason"].values()) == rejected["total"]
    assert set(rejected["by_reason"]) == {
        "malformed", "ordered_at.type", "customer_id.required", "unit_price.type", "unit_price.required",
        "country.pattern", "quantity.min", "status.allowed", "order_id.unique",
    }  # fmt: skip
    assert len(rejected["samples"]) == 10


def test_samples_say_where_and_what(result: dict[str, Any]) -> None:
    first, *_, last = result["rejected"]["samples"]
    assert first["reasons"] == ["malformed"]
    with (SHIPPED.parent / "data_stream_1.csv").open() as text:
        assert text.readlines()[first["line"] - 1].strip() == first["text"]
    assert last == {"row": last["row"], "reasons": ["ordered_at.type"], "values": {"ordered_at": "31.02.2026 12:00"}}


def test_each_step_tells_its_rows(result: dict[str, Any]) -> None:
    steps = result["steps"]
    assert [step["step"] for step in steps] == ["read", "validate", "transform", "aggregate"]
    for before, after in pairwise(steps):
        assert before["rows_out"] == after["rows_in"]
    assert steps[0]["rows_in"] == result["input_rows"]
    assert steps[-1]["rows_out"] == result["output_rows"] == 8
    assert steps[1]["rows_in"] - steps[1]["rows_out"] == result["rejected"]["total"]


def test_progress_goes_up_step_by_step_to_the_end(process: Process) -> None:
    reports: list[Report] = []
    process("data_stream_1", "validate", "transform", "aggregate", context=context(reports))
    ends = [(fraction, details["step"]) for fraction, details in reports if "rows" in details]
    assert ends == [(0.25, "read"), (0.5, "validate"), (0.75, "transform"), (1.0, "aggregate")]
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_completes_with_a_result_that_is_json(process: Process, example: dict[str, Any]) -> None:
    result = process(example["input_source"], *example["processing_steps"])
    assert result["aggregate"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_result_is_the_same_each_time(process: Process, result: dict[str, Any]) -> None:
    again = process("data_stream_1", "validate", "transform", "aggregate")
    counts = Counter(step["step"] for step in again["steps"])
    assert counts == Counter(step["step"] for step in result["steps"])
    for member in ("aggregate", "rejected", "columns", "input_rows", "output_rows"):
        assert again[member] == result[member]
