"""Resource vectors: exact sums, and what a request may be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.protocol.resources import Amounts, Resources, resources_of, shortfall, to_wire


@pytest.mark.parametrize(
    ("request_", "amounts"),
    [
        ({}, {}),
        ({"cpu": 0, "memory_mb": 0, "gpu": 0, "custom": {"a": 0}}, {}),
        ({"cpu": 0.5}, {"cpu": 500}),
        ({"cpu": 0.29}, {"cpu": 290}),
        ({"cpu": 1.1}, {"cpu": 1100}),
        ({"cpu": 0.0001}, {"cpu": 1}),
        ({"cpu": 1e-12}, {"cpu": 1}),
        ({"cpu": 5e-324}, {"cpu": 1}),
        ({"cpu": 1.0001}, {"cpu": 1001}),
        ({"cpu": 100_000, "memory_mb": 10**9, "gpu": 1024}, {"cpu": 10**8, "memory_mb": 10**12, "gpu": 1_024_000}),
        ({"custom": {"licence": 1, "slot-2": 0.25}}, {"custom.licence": 1000, "custom.slot-2": 250}),
    ],
)
def test_whole_thousandths(request_: dict[str, Any], amounts: Amounts) -> None:
    assert Resources(**request_).amounts() == amounts


@pytest.mark.parametrize(
    "request_",
    [
        {"cpu": -1}, {"cpu": float("nan")}, {"cpu": float("inf")}, {"cpu": "1"}, {"cpu": True}, {"cpu": 100_001},
        {"memory_mb": 0.5}, {"memory_mb": -1}, {"gpu": 0.5}, {"gpu": 1025}, {"disk": 1}, {"custom": {"A": 1}},
        {"custom": {"": 1}}, {"custom": {"a b": 1}}, {"custom": {"a": -1}}, {"custom": {"a\n": 1}},
        {"custom": {f"u{number}": 1 for number in range(17)}}, {"custom": None},
    ],
)  # fmt: skip
def test_what_is_no_request(request_: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Resources(**request_)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_sums_are_exact(parts: list[int]) -> None:
    """A tenth ten times is one, and what is given back leaves nothing."""
    total = sum(Resources(cpu=part / 1000).amounts()["cpu"] for part in parts)
    assert total == sum(parts)


@given(st.dictionaries(st.sampled_from(["cpu", "memory_mb", "gpu", "custom.a", "custom.b"]), st.integers(1, 10**8)))
def test_the_wire_and_back(amounts: Amounts) -> None:
    whole = {unit: value * 1000 if unit in ("memory_mb", "gpu") else value for unit, value in amounts.items()}
    assert resources_of(whole).amounts() == whole
    wire = to_wire(whole)
    assert set(wire) == {unit.partition(".")[0] for unit in whole}


def test_the_wire_is_plain() -> None:
    assert to_wire({"cpu": 1000, "memory_mb": 64_000, "custom.x": 1500}) == {
        "cpu": 1, "memory_mb": 64, "custom": {"x": 1.5},
    }  # fmt: skip
    assert isinstance(to_wire({"cpu": 1000})["cpu"], int)
    assert to_wire({}) == {}


@pytest.mark.parametrize(
    ("request_", "available", "missing"),
    [
        ({"cpu": 5}, {"cpu": 5}, {}),
        ({"cpu": 6}, {"cpu": 5}, {"cpu": 1}),
        ({"cpu": 1, "gpu": 2}, {"cpu": 5}, {"gpu": 2}),
        ({}, {}, {}),
    ],
)
def test_what_is_missing(request_: Amounts, available: Amounts, missing: Amounts) -> None:
    assert shortfall(request_, available) == missing
