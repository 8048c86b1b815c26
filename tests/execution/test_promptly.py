"""Work that a caller need not wait for: its outcome where it comes in time, and its end in any case."""

import asyncio

import pytest

from app.execution import promptly as module
from app.execution.promptly import promptly
from app.storage.errors import Conflict, StorageUnavailable


async def test_what_comes_in_time_is_answered() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    async def refused() -> None:
        raise Conflict

    await promptly(work())
    assert done == [1]
    with pytest.raises(Conflict):
        await promptly(refused())


@pytest.mark.parametrize("error", [None, Conflict()])
async def test_what_does_not_goes_on(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    monkeypatch.setattr(module, "ANSWER_WITHIN_S", 0.01)
    go, over = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        over.set()
        if error is not None:
            raise error

    with pytest.raises(StorageUnavailable):
        await promptly(work())
    assert not over.is_set()
    go.set()
    await over.wait()
