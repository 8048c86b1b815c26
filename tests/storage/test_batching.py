"""Natural batching: order, failures, and callers that lose interest."""

import asyncio

import pytest

from app.storage.batching import Batcher
from tests.support.waiting import eventually


class Gate:
    """Runs batches when it is opened; doubles each number, refuses the odd ones in `bad`."""

    def __init__(self, bad: frozenset[int] = frozenset()) -> None:
        self.open = asyncio.Event()
        self.batches: list[list[int]] = []
        self.bad = bad

    async def run(self, items: list[int]) -> list[int | Exception]:
        self.batches.append(items)
        await self.open.wait()
        return [ValueError(item) if item in self.bad else 2 * item for item in items]


async def _is(what: bool) -> bool:
    return what


async def test_items_gather_while_a_batch_is_under_way() -> None:
    gate = Gate()
    batcher = Batcher(gate.run, limit=3)
    first = batcher.submit(1)
    await eventually(lambda: _is(bool(gate.batches)), "the first batch")
    rest = [batcher.submit(number) for number in range(2, 7)]
    assert batcher.backlog == 5
    gate.open.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6, 8, 10, 12]
    assert gate.batches == [[1], [2, 3, 4], [5, 6]]


async def test_one_items_failure_is_its_own() -> None:
    gate = Gate(bad=frozenset({2}))
    gate.open.set()
    batcher = Batcher(gate.run, limit=10)
    results = await asyncio.gather(*(batcher.submit(number) for number in (1, 2, 3)), return_exceptions=True)
    assert [results[0], results[2]] == [2, 6]
    assert isinstance(results[1], ValueError)


async def test_a_batch_that_fails_fails_all_of_its_items_and_no_others() -> None:
    calls = 0

    async def run(items: list[int]) -> list[int | Exception]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("away")
        return list(items)

    batcher = Batcher(run, limit=2)
    results = await asyncio.gather(*(batcher.submit(number) for number in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [OSError, OSError, int, int]


async def test_a_caller_that_has_gone_does_not_hinder() -> None:
    gate = Gate()
    batcher = Batcher(gate.run, limit=10)
    gone, stays = batcher.submit(1), batcher.submit(2)
    await eventually(lambda: _is(bool(gate.batches)), "the batch")
    gone.cancel()
    gate.open.set()
    assert await stays == 4
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_close_waits_for_what_was_submitted() -> None:
    gate = Gate()
    batcher = Batcher(gate.run, limit=1)
    results = [batcher.submit(number) for number in range(3)]
    closing = asyncio.create_task(batcher.close())
    await eventually(lambda: _is(bool(gate.batches)), "the first batch")
    assert not closing.done()
    gate.open.set()
    await closing
    assert [result.result() for result in results] == [0, 2, 4]
    await batcher.close()
