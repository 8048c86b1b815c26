"""A loop that does one thing at intervals and survives its failures."""

import asyncio

import pytest

from app.execution.periodic import Periodic
from app.storage.errors import StorageUnavailable
from tests.support.waiting import eventually


class Action:
    """Counts its calls; raises what it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.at_once = 0
        self.most = 0
        self.error = error

    async def __call__(self) -> None:
        self.calls += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.005)
        self.at_once -= 1
        if self.error is not None:
            raise self.error

    async def called_thrice(self) -> bool:
        return self.calls >= 3


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (None, ""),
        (StorageUnavailable("gone"), "tidy: the database is away: gone"),
        (ValueError("a defect"), "tidy failed"),
    ],
)
async def test_it_goes_on(error: Exception | None, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    action = Action(error)
    periodic = Periodic("tidy", 0.001, action)
    periodic.start()
    await eventually(action.called_thrice, "three calls")
    await periodic.close()
    calls = action.calls
    assert logged in caplog.text
    assert action.most == 1
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.02)
    assert action.calls == calls, "closed is closed"


async def test_one_that_spares_the_database_pauses_for_longer_after_a_slow_action() -> None:
    action = Action()
    periodic = Periodic("look", 0.001, action, spares=True)
    begin = asyncio.get_running_loop().time()
    periodic.start()
    await eventually(action.called_thrice, "three calls")
    await periodic.close()
    assert asyncio.get_running_loop().time() - begin >= 2 * 20 * 0.005


async def test_close_without_start() -> None:
    await Periodic("tidy", 1, Action()).close()
