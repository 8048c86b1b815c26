import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from app.delivery.following import PAGE, HistoryFollower, Mark, Pace
from app.delivery.watch import Watch
from app.protocol.history import Item
from app.protocol.task import Task
from app.storage.database import Database
from app.storage.queries import Heads, Queries
from tests.storage.stored import Store, accepted_task, open_store, started

NEVER = time.time() + 3600
# A reader without news looks after an hour: what comes sooner has been woken.
SELDOM = Pace(poll_s=3600, alive_s=3600)


def no() -> bool:
    return False


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with open_store(database_url) as opened:
        yield opened


def follower(store: Store, watch: Watch, pace: Pace = SELDOM) -> HistoryFollower:
    return HistoryFollower(Queries(store.database), Heads(store.database), watch, pace)


async def take(events: AsyncIterator[Item | Mark], count: int) -> list[int | Mark]:
    """So many of the events: sequences and marks."""
    found: list[int | Mark] = []
    async for event in events:
        found.append(event if isinstance(event, Mark) else event.sequence)
        if len(found) == count:
            break
    return found


async def running(store: Store) -> Task:
    task = started(accepted_task())
    await store.put(task)
    return task


async def test_a_commit_of_this_node_wakes_who_follows(store: Store) -> None:
    watch = Watch()
    store.journal.on_commit(lambda done: watch.changed([task.task_id for task, _ in done]))
    task = await running(store)
    async with aclosing(follower(store, watch).follow(task, 0, expires_at=NEVER, revoked=no, draining=no)) as events:
        assert await take(events, 5) == [1, 2, 3, 4, 5]
        waiting = asyncio.ensure_future(take(events, 1))
        task.report_progress(datetime.now(UTC), 0.5, {})
        await store.put(task)
        assert await waiting == [6]
        task.complete(datetime.now(UTC), "null", {})
        await store.put(task)
        assert await take(events, 100) == [7, 8, 9]
    assert not watch._waiting


async def test_without_news_the_next_look_finds_it(store: Store) -> None:
    task = await running(store)
    pace = Pace(poll_s=0.02, alive_s=3600)
    async with aclosing(
        follower(store, Watch(), pace).follow(task, 5, expires_at=NEVER, revoked=no, draining=no)
    ) as events:
        waiting = asyncio.ensure_future(take(events, 1))
        task.report_progress(datetime.now(UTC), 0.5, {})
        await store.put(task)
        assert await waiting == [6]


async def test_a_history_of_many_pages_comes_whole(store: Store) -> None:
    task = await running(store)
    for _ in range(3 * PAGE):
        task.report_progress(datetime.now(UTC), 0.5, {"step": "again"})
    task.complete(datetime.now(UTC), "null", {})
    await store.put(task)
    events = follower(store, Watch()).follow(task, 0, expires_at=NEVER, revoked=no, draining=no)
    assert await take(events, 1000) == list(range(1, 3 * PAGE + 5 + 3 + 1))


@pytest.mark.parametrize("total", [PAGE, 2 * PAGE])
async def test_a_history_of_exactly_whole_pages_ends(store: Store, total: int) -> None:
    task = await running(store)
    for _ in range(total - 8):
        task.report_progress(datetime.now(UTC), 0.5, {})
    task.complete(datetime.now(UTC), "null", {})
    await store.put(task)
    events = follower(store, Watch()).follow(task, 0, expires_at=NEVER, revoked=no, draining=no)
    assert await take(events, 1000) == list(range(1, total + 1))


async def test_signs_of_life_while_nothing_happens(store: Store) -> None:
    task = await running(store)
    pace = Pace(poll_s=3600, alive_s=0.01)
    async with aclosing(
        follower(store, Watch(), pace).follow(task, 0, expires_at=NEVER, revoked=no, draining=no)
    ) as events:
        assert await take(events, 8) == [1, 2, 3, 4, 5, Mark.ALIVE, Mark.ALIVE, Mark.ALIVE]


async def test_it_ends_at_the_expiry_and_when_the_node_drains(store: Store) -> None:
    task = await running(store)
    expired = follower(store, Watch()).follow(task, 3, expires_at=time.time() + 0.1, revoked=no, draining=no)
    assert await take(expired, 100) == [4, 5, Mark.EXPIRED]
    draining: list[bool] = []
    pace = Pace(poll_s=0.01, alive_s=3600)
    events = follower(store, Watch(), pace).follow(
        task, 4, expires_at=NEVER, revoked=no, draining=lambda: bool(draining)
    )
    assert await take(events, 1) == [5]
    draining.append(True)
    assert await take(events, 100) == [Mark.DRAINING]


async def test_it_ends_when_the_token_is_revoked(store: Store) -> None:
    task = await running(store)
    revoked: list[bool] = []
    events = follower(store, Watch(), Pace(poll_s=0.01, alive_s=3600)).follow(
        task, 4, expires_at=NEVER, revoked=lambda: bool(revoked), draining=no
    )
    assert await take(events, 1) == [5]
    revoked.append(True)
    assert await take(events, 100) == [Mark.REVOKED]


async def test_a_database_that_is_away_is_waited_for(store: Store) -> None:
    task = await running(store)
    task.complete(datetime.now(UTC), "null", {})
    await store.put(task)
    # Nobody listens at port 1: the first looks find no database, the later ones do.
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none")
    looks = [Heads(nowhere)] * 3

    class Flickering(Heads):
        async def get(self, task_id: str) -> int:
            return await (looks.pop().get(task_id) if looks else super().get(task_id))

    heads = Flickering(store.database)
    pace = Pace(poll_s=0.01, alive_s=3600)
    followed = HistoryFollower(Queries(store.database), heads, Watch(), pace)
    events = followed.follow(task, 0, expires_at=NEVER, revoked=no, draining=no)
    assert await take(events, 100) == list(range(1, 9))
    assert looks == []
    await nowhere.close()
