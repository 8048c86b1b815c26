import math

import pytest

from tests.task_types.contexts import Report, context


def test_progress_is_reported_with_its_details() -> None:
    reports: list[Report] = []
    context(reports).progress(1, step="aggregate", rows=8)
    assert reports == [(1.0, {"step": "aggregate", "rows": 8})]
    assert isinstance(reports[0][0], float)


@pytest.mark.parametrize("fraction", [-0.01, 1.01, math.nan, math.inf])
def test_progress_outside_of_0_to_1_is_refused(fraction: float) -> None:
    reports: list[Report] = []
    with pytest.raises(ValueError, match="between 0 and 1"):
        context(reports).progress(fraction)
    assert reports == []


def test_cancelled_follows_the_signal() -> None:
    attempt = context()
    assert not attempt.cancelled
    attempt.cancellation.set()
    assert attempt.cancelled
