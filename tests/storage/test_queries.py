"""Reads: single tasks in batches, lists with their filters and cursor, histories."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.protocol.history import first_break
from app.protocol.reasons import Reason
from app.protocol.states import State
from app.protocol.task import Task
from app.storage.queries import ListFilter, Queries, StatusReader
from app.submission.identifiers import new_task_id
from tests.storage.stored import Store, accepted_task, ids, new_task, started

EPOCH = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
async def reader(store: Store) -> AsyncIterator[StatusReader]:
    opened = StatusReader(store.database)
    yield opened
    await opened.close()


async def test_many_readers_each_get_their_own(store: Store, reader: StatusReader) -> None:
    tasks = [accepted_task() for _ in range(50)]
    await store.put(*tasks)
    absent = new_task_id()
    wanted = [*ids(tasks), absent, *ids(tasks)]
    found = await asyncio.gather(*map(reader.get, wanted))
    assert [task and task.task_id for task in found] == [None if each == absent else each for each in wanted]


async def test_a_read_task_can_be_stepped_on(store: Store, reader: StatusReader) -> None:
    task = accepted_task()
    await store.put(task)
    read = await reader.get(task.task_id)
    assert read is not None
    await store.put(started(read))
    await store.check_whole([task.task_id])


async def test_the_holder_of_a_key(store: Store) -> None:
    queries = Queries(store.database)
    rejected, accepted = new_task(message_id="m-1"), accepted_task(message_id="m-1")
    rejected.submit(EPOCH, valid=False)
    rejected.reject(EPOCH, {"kind": "validation_failed"})
    await store.put(rejected)
    assert await queries.find_submission("alice", "m-1") is None
    await store.put(accepted)
    found = await queries.find_submission("alice", "m-1")
    assert found is not None
    assert found.task_id == accepted.task_id
    assert await queries.find_submission("bob", "m-1") is None


async def a_mixed_list(store: Store) -> dict[str, Task]:
    """Six tasks that differ in every member that a list can be narrowed by."""
    tasks = {
        "plain": accepted_task(submitted_at=EPOCH),
        "bob": accepted_task(submitter="bob", submitted_at=EPOCH + timedelta(hours=1)),
        "urgent": accepted_task(priority=-5, submitted_at=EPOCH + timedelta(hours=2)),
        "sleep": accepted_task(type="sleep", message_id="m-7", submitted_at=EPOCH + timedelta(hours=3)),
        "labelled": accepted_task(labels={"team": "a", "stage": "test"}, submitted_at=EPOCH + timedelta(hours=4)),
        "failed": started(accepted_task(labels={"team": "b"}, submitted_at=EPOCH + timedelta(hours=5))),
    }
    tasks["failed"].fail(EPOCH + timedelta(hours=6), Reason.TIMED_OUT, {"kind": "timed_out"})
    await store.put(*tasks.values())
    return tasks


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        ({}, ["failed", "labelled", "sleep", "urgent", "bob", "plain"]),
        ({"submitter": "bob"}, ["bob"]),
        ({"states": (State.FAILED,)}, ["failed"]),
        ({"states": (State.FAILED, State.COMPLETED)}, ["failed"]),
        ({"states": (State.WAITING,)}, []),
        ({"type": "sleep"}, ["sleep"]),
        ({"priority": -5}, ["urgent"]),
        ({"message_id": "m-7"}, ["sleep"]),
        ({"labels": (("team", "a"),)}, ["labelled"]),
        ({"labels": (("team", "a"), ("stage", "test"))}, ["labelled"]),
        ({"labels": (("team", "a"), ("team", "b"))}, []),
        ({"labels": (("team", "a' OR true --"),)}, []),
        ({"submitted_after": EPOCH + timedelta(hours=4)}, ["failed", "labelled"]),
        ({"submitted_before": EPOCH + timedelta(hours=1)}, ["plain"]),
        ({"submitter": "alice", "type": "echo", "priority": 1, "states": (State.FAILED,)}, ["failed"]),
    ],
)
async def test_a_list_is_narrowed(store: Store, narrowed: dict[str, Any], expected: list[str]) -> None:
    tasks = await a_mixed_list(store)
    found = await Queries(store.database).list_tasks(ListFilter(**narrowed), 100, None)
    names = {task.task_id: name for name, task in tasks.items()}
    assert [names[task.task_id] for task in found] == sorted(
        expected, key=lambda name: tasks[name].task_id, reverse=True
    )


async def test_the_cursor_walks_through_all_while_new_ones_come(store: Store) -> None:
    tasks = [accepted_task() for _ in range(23)]
    await store.put(*tasks)
    queries, seen, before = Queries(store.database), [], None
    while page := await queries.list_tasks(ListFilter(submitter="alice"), 5, before):
        seen += ids(page)
        before = page[-1].task_id
        await store.put(accepted_task())
    assert seen == sorted(ids(tasks), reverse=True)


async def test_a_history_is_read_from_anywhere(store: Store) -> None:
    task = started(accepted_task())
    task.complete(datetime.now(UTC), "{}", {})
    await store.put(task)
    queries = Queries(store.database)
    everything = await queries.messages(task, 0, 100)
    assert everything == await store.items(task.task_id)
    assert first_break(task.task_id, everything) is None
    assert await queries.messages(task, 3, 2) == everything[3:5]
    assert await queries.messages(task, 99, 2) == []


async def test_a_history_is_whole_although_clocks_differ(store: Store) -> None:
    """Another node's clock may be behind that of the one which took the submission."""
    task = started(accepted_task(submitted_at=datetime.now(UTC) + timedelta(minutes=10)))
    task.complete(datetime.now(UTC), "{}", {})
    await store.put(task)
    items = await Queries(store.database).messages(task, 0, 100)
    assert [item.sequence for item in items] == list(range(1, task.sequence + 1))
