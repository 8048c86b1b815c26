"""The audit finds the first message of each task that is not as it was recorded."""

from datetime import UTC, datetime

import pytest

from app.protocol.task import Task
from app.storage.audit import Break, verify
from app.storage.erasure import Erasures
from tests.storage.stored import Store, accepted_task, started


@pytest.fixture
async def tasks(store: Store) -> list[Task]:
    """Three completed tasks of eight messages each, and one that waits."""
    over = [started(accepted_task()) for _ in range(3)]
    for task in over:
        task.complete(datetime.now(UTC), "{}", {})
    await store.put(*over, accepted_task())
    return over


async def test_whole_histories(store: Store, tasks: list[Task]) -> None:
    await Erasures(store.database).erase(tasks[1].task_id, "alice")
    verified = await verify(store.database)
    assert (verified.tasks, verified.messages, verified.erased, verified.breaks) == (4, 3 * 8 + 3, 8, [])
    assert (await verify(store.database, tasks[0].task_id)).messages == 8
    assert (await verify(store.database, "01890000-0000-7000-8000-000000000000")).tasks == 0


@pytest.mark.parametrize(
    ("change", "sequence", "what"),
    [
        ("UPDATE history SET message = '{}' WHERE task_id = $1 AND sequence = 3", 3, "altered"),
        ("UPDATE history SET status = 'Failed' WHERE task_id = $1 AND sequence = 8", 8, "altered"),
        ("DELETE FROM history WHERE task_id = $1 AND sequence = 4", 4, "missing"),
        ("DELETE FROM history WHERE task_id = $1 AND sequence = 1", 1, "missing"),
        ("UPDATE history SET sequence = 10 - sequence WHERE task_id = $1 AND sequence IN (4, 6)", 4, "altered"),
        ("DELETE FROM history WHERE task_id = $1 AND sequence > 6", 7, "missing"),
        ("DELETE FROM history WHERE task_id = $1", None, "all of its messages are missing"),
        ("DELETE FROM tasks WHERE task_id = $1", 8, "the task itself is missing"),
    ],
)
async def test_what_is_found(store: Store, tasks: list[Task], change: str, sequence: int | None, what: str) -> None:
    if "10 - sequence" in change:
        await store.sql.execute("ALTER TABLE history DROP CONSTRAINT history_pkey")
    await store.sql.execute(change, tasks[1].task_id)
    for verified in (await verify(store.database), await verify(store.database, tasks[1].task_id)):
        (found,) = verified.breaks
        assert (found.task_id, found.sequence) == (tasks[1].task_id, sequence)
        assert found.what.startswith(what)
    assert isinstance(found, Break)
