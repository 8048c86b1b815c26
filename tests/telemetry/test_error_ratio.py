"""The share of errors over the last five minutes, by a clock that the test holds."""

import pytest

from app.telemetry.error_ratio import SLICE_S, SLICES, ErrorRatio

SPAN_S = SLICE_S * SLICES


def test_nothing_counted_is_no_error() -> None:
    assert ErrorRatio().ratio(12_345.0) == 0.0


def test_errors_among_all() -> None:
    ratio = ErrorRatio()
    for number in range(1000):
        ratio.count(1_000_000.0 + number * 0.1, is_error=number == 500)
    assert ratio.ratio(1_000_100.0) == pytest.approx(0.001)


@pytest.mark.parametrize("start", [0.0, 7.0, 1_000_000.0])
def test_what_is_older_than_five_minutes_is_forgotten(start: float) -> None:
    ratio = ErrorRatio()
    ratio.count(start, is_error=True)
    assert ratio.ratio(start + SPAN_S - 2 * SLICE_S) == 1.0
    assert ratio.ratio(start + SPAN_S + SLICE_S) == 0.0


def test_a_long_silence_forgets_everything() -> None:
    ratio = ErrorRatio()
    for second in range(SPAN_S):
        ratio.count(float(second), is_error=True)
    ratio.count(SPAN_S * 100.0, is_error=False)
    assert ratio.ratio(SPAN_S * 100.0) == 0.0


def test_a_clock_that_steps_back_changes_nothing_already_counted() -> None:
    ratio = ErrorRatio()
    ratio.count(1000.0, is_error=True)
    ratio.count(990.0, is_error=False)
    assert ratio.ratio(980.0) == 0.5
