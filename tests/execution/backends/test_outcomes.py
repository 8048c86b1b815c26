"""What a handler returned or raised."""

import math

import pytest

from app.execution.backends.backend import Succeeded
from app.execution.backends.outcomes import MAX_TRACE_CHARACTERS, plain_details, progress_details, returned, trace_of


def test_numbers_that_json_does_not_have_become_null() -> None:
    assert returned({"a": math.nan, "b": [math.inf]}, 100) == Succeeded('{"a":null,"b":[null]}', {})
    assert plain_details({"a": math.nan}) == {"a": None}


def test_details_are_a_copy() -> None:
    inner = [1]
    details = plain_details({"inner": inner})
    inner.append(2)
    assert details == {"inner": [1]}


def test_no_details_cost_nothing() -> None:
    assert progress_details({}) == b"{}"
    assert plain_details({}) == {}


def test_a_chain_of_errors_gives_a_bounded_trace() -> None:
    error: Exception = ValueError("first")
    for number in range(300):
        later = ValueError("x" * 200, number)
        later.__cause__ = error
        error = later
    trace = trace_of(error)
    assert len(trace) <= MAX_TRACE_CHARACTERS
    assert trace.rstrip().endswith("299)")


@pytest.mark.parametrize("value", [lambda: 1, {object()}, b"\xff"])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="the details of progress are not JSON"):
        progress_details({"value": value})
