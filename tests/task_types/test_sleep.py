import asyncio
from typing import Any

import pytest

from app.task_types.sleep import SleepParameters, sleep
from tests.task_types.contexts import Report, context


async def test_sleeps_at_least_so_long_and_reports_up_to_the_end() -> None:
    reports: list[Report] = []
    result = await sleep(SleepParameters(seconds=0.25), context(reports))
    assert result["slept_s"] >= 0.25
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)
    assert len(fractions) > 1
    assert fractions[-1] == 1.0


async def test_no_time_at_all_is_over_at_once() -> None:
    reports: list[Report] = []
    assert (await sleep(SleepParameters(seconds=0), context(reports)))["slept_s"] >= 0
    assert reports == []


async def test_ends_when_it_is_cancelled() -> None:
    task = asyncio.ensure_future(sleep(SleepParameters(seconds=3600), context()))
    await asyncio.wait({task}, timeout=0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("seconds", [-1, 86_401, "1", None, float("nan"), float("inf"), True])
def test_refuses_what_is_no_length_of_time(seconds: Any) -> None:
    with pytest.raises(ValueError, match="seconds"):
        SleepParameters.model_validate({"seconds": seconds})


@pytest.mark.parametrize("parameters", [{}, {"seconds": 1, "minutes": 1}])
def test_takes_seconds_and_nothing_else(parameters: Any) -> None:
    with pytest.raises(ValueError, match=r"Field required|not permitted"):
        SleepParameters.model_validate(parameters)
