"""The database refuses what must never be, whoever writes it."""

import asyncpg
import pytest

from tests.storage.stored import Store, accepted_task, started


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'Cancelled'", "tasks_state_known"),
        ("state = 'Failed', finished_at = now(), reason = 'bored', lease_owner = NULL, lease_expires_at = NULL",
         "tasks_reason_known"),
        ("state = 'Failed', reason = 'cancelled', lease_owner = NULL, lease_expires_at = NULL",
         "tasks_finished_when_terminal"),
        ("finished_at = now()", "tasks_finished_when_terminal"),
        ("state = 'Completed', lease_owner = NULL, lease_expires_at = NULL", "tasks_finished_when_terminal"),
        ("reason = 'cancelled'", "tasks_reason_when_not_completed"),
        ("state = 'Failed', finished_at = now(), lease_owner = NULL, lease_expires_at = NULL",
         "tasks_reason_when_not_completed"),
        ("state = 'Waiting'", "tasks_due_when_waiting"),
        ("run_at = now()", "tasks_due_when_waiting"),
        ("lease_owner = NULL", "tasks_lease_whole"),
        ("lease_expires_at = NULL", "tasks_lease_whole"),
        ("state = 'Completed', finished_at = now()", "tasks_no_lease_when_terminal"),
    ],
)  # fmt: skip
async def test_an_impossible_row_is_refused(store: Store, change: str, constraint: str) -> None:
    task = started(accepted_task())
    await store.put(task)
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await store.sql.execute(f"UPDATE tasks SET {change} WHERE task_id = $1", task.task_id)


async def test_a_possible_row_is_taken(store: Store) -> None:
    task = started(accepted_task())
    await store.put(task)
    await store.sql.execute(
        "UPDATE tasks SET state = 'Failed', finished_at = now(), reason = 'cancelled', lease_owner = NULL, "
        "lease_expires_at = NULL WHERE task_id = $1",
        task.task_id,
    )
