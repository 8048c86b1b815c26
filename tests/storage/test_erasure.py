"""Erasing what a task contained: nothing of it can be found, and its chain still holds."""

from datetime import UTC, datetime

import pytest

from app.protocol.history import ERASED, first_break
from app.protocol.task import Task
from app.storage.erasure import Erasures
from app.storage.errors import Conflict
from app.storage.queries import StatusReader
from tests.storage.stored import Store, accepted_task, started, submission_text

SECRET = "correct horse battery staple"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def over(store: Store) -> Task:
    """A completed task whose every member tells the secret."""
    task = started(accepted_task(submission=submission_text("m-1", parameters={"s": SECRET}), labels={"s": SECRET}))
    task.report_progress(now(), 0.5, {"s": SECRET})
    task.complete(now(), f'"{SECRET}"', {})
    await store.put(task)
    return task


async def whole_database(store: Store) -> str:
    tables = [row[0] for row in await store.sql.fetch("SELECT relname FROM pg_class WHERE relkind = 'r' "
                                                      "AND relnamespace = 'public'::regnamespace")]  # fmt: skip
    return "\n".join(
        [str(await store.sql.fetchval(f"SELECT string_agg(t::text, '') FROM {table} t")) for table in tables]
    )


async def test_nothing_of_it_is_left_and_the_chain_holds(store: Store, over: Task) -> None:
    assert SECRET in await whole_database(store)
    erasure = await Erasures(store.database).erase(over.task_id, "alice")
    assert erasure is not None
    assert erasure.erased_by == "alice"
    assert SECRET not in await whole_database(store)
    items = await store.items(over.task_id)
    assert {item.message for item in items} == {ERASED}
    await store.check_whole([over.task_id])
    assert first_break(over.task_id, [items[0], items[1]._replace(message_digest="0" * 64), *items[2:]]) == 2
    reader = StatusReader(store.database)
    task = await reader.get(over.task_id)
    await reader.close()
    assert task is not None
    assert (task.erased, task.state, task.labels, task.result_json) == (True, over.state, {}, None)


async def test_the_first_record_stays_and_later_messages_go_too(store: Store, over: Task) -> None:
    erasures = Erasures(store.database)
    first = await erasures.erase(over.task_id, "alice")
    reader = StatusReader(store.database)
    task = await reader.get(over.task_id)
    await reader.close()
    assert task is not None
    task.acknowledge(now(), 3)
    await store.put(task)
    assert (await store.items(over.task_id))[-1].erased_at is None
    assert await erasures.erase(over.task_id, "root") == first
    assert {item.message for item in await store.items(over.task_id)} == {ERASED}
    await store.check_whole([over.task_id])


async def test_who_has_read_the_task_before_does_not_write_its_content_back(store: Store, over: Task) -> None:
    await Erasures(store.database).erase(over.task_id, "alice")
    over.acknowledge(now(), 3)
    with pytest.raises(Conflict):
        await store.put(over)
    assert SECRET not in await whole_database(store)


async def test_what_is_not_over_or_not_there_is_left_alone(store: Store) -> None:
    task = started(accepted_task())
    await store.put(task)
    erasures = Erasures(store.database)
    assert await erasures.erase(task.task_id, "alice") is None
    assert await erasures.erase("01890000-0000-7000-8000-000000000000", "alice") is None
    assert {item.erased_at for item in await store.items(task.task_id)} == {None}
    assert await store.sql.fetchval("SELECT count(*) FROM erasures") == 0


async def test_a_digest_beside_a_message_does_not_hide_that_it_was_altered(store: Store, over: Task) -> None:
    (first, *rest) = await store.items(over.task_id)
    altered = first._replace(message='{"other":1}', message_digest="0" * 64)
    assert first_break(over.task_id, [altered, *rest]) == 1
