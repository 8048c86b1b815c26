"""Statements over tasks of several weeks, and rows that change while a statement waits for them.

The second is where Postgres 18.4 has answered nothing at all, or crashed, when rows were locked in a subquery over
weeks that it had left out beforehand.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from app.protocol.ids import uuid7
from app.protocol.task import Task
from app.storage.errors import DuplicateMessage
from app.storage.queries import Queries, StatusReader
from tests.storage.stored import Store, accepted_task, started
from tests.support.waiting import eventually

WAITERS = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def of_weeks_ahead(weeks: int) -> Task:
    """An accepted task whose id is so many weeks ahead."""
    moment = datetime.now(UTC) + timedelta(weeks=weeks)
    return accepted_task(task_id=str(uuid7(int(moment.timestamp() * 1000), weeks)))


@pytest.fixture
async def tasks(store: Store) -> list[Task]:
    """Held tasks of this week, of the next, and of one that has no partition."""
    made = [started(of_weeks_ahead(weeks)) for weeks in (0, 1, 40)]
    await store.put(*made)
    partitions = await store.sql.fetch("SELECT DISTINCT tableoid FROM tasks")
    assert len(partitions) == len(made)
    return made


async def extend(store: Store, tasks: list[Task]) -> int:
    return len((await store.leases.extend([task.task_id for task in tasks])).task_ids)


async def commit(store: Store, tasks: list[Task]) -> int:
    for task in tasks:
        task.report_progress(datetime.now(UTC), 0.5, {})
    await asyncio.gather(*[store.journal.commit(task.change()) for task in tasks])
    return len(tasks)


async def read(store: Store, tasks: list[Task]) -> int:
    reader = StatusReader(store.database)
    found = await asyncio.gather(*[reader.get(task.task_id) for task in tasks])
    await reader.close()
    return len([task for task in found if task is not None])


Doing = Callable[[Store, list[Task]], Awaitable[int]]


@pytest.mark.parametrize("doing", [extend, commit, read])
async def test_tasks_of_several_weeks_at_once(store: Store, tasks: list[Task], doing: Doing) -> None:
    assert await doing(store, tasks) == len(tasks)
    await store.check_whole([task.task_id for task in tasks])


async def _somebody_waits(store: Store) -> bool:
    # Within a transaction the answer would stay the same.
    await store.sql.execute("SELECT pg_stat_clear_snapshot()")
    return bool(await store.sql.fetchval(WAITERS))


async def changed_meanwhile(store: Store, doing: Awaitable[int]) -> int:
    """What `doing` answers, which has to wait for rows that are changed first."""
    async with store.sql.transaction():
        await store.sql.execute("UPDATE tasks SET cancel_requested_by = 'bob'")
        waiting = asyncio.ensure_future(doing)
        await eventually(lambda: _somebody_waits(store), "it waits for the rows")
    return await waiting


@pytest.mark.parametrize("doing", [extend, commit])
@pytest.mark.parametrize("count", [1, 3])
async def test_rows_that_change_while_they_are_waited_for(
    store: Store, tasks: list[Task], doing: Doing, count: int
) -> None:
    for _ in range(2):
        assert await changed_meanwhile(store, doing(store, tasks[:count])) == count
    await store.check_whole([task.task_id for task in tasks])


async def test_a_key_is_taken_whatever_the_week_of_its_task(store: Store) -> None:
    first, second = of_weeks_ahead(1), of_weeks_ahead(0)
    second.idempotency_key = first.idempotency_key
    await store.put(first)
    with pytest.raises(DuplicateMessage):
        await store.put(second)
    assert await store.sql.fetchval("SELECT count(*) FROM tasks") == 1


async def test_a_key_among_the_older_ones_is_taken_unless_its_task_was_dropped(store: Store) -> None:
    first, second, third = (accepted_task(idempotency_key="same") for _ in range(3))
    await store.put(first)
    await store.sql.execute(
        "WITH moved AS (DELETE FROM idempotency_keys RETURNING *) "
        "INSERT INTO idempotency_keys_before SELECT * FROM moved"
    )
    with pytest.raises(DuplicateMessage):
        await store.put(second)
    found = await Queries(store.database).find_submission("alice", "same")
    assert found is not None
    assert found.task_id == first.task_id
    await store.sql.execute("UPDATE retention SET oldest_kept = $1", third.task_id)
    await store.put(third)
