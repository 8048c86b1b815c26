"""How long the tasks of a lost executor waited, as it is read from their histories."""

from datetime import UTC, datetime, timedelta

from app.execution.retry import after_executor_lost
from app.protocol.times import format_time
from tests.faults.evidence import Message
from tests.faults.pages import waits_after_loss
from tests.storage.stored import accepted_task

BEGIN = datetime(2026, 5, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def lost_once() -> list[Message]:
    """Starts at 1 s, its loss is recorded at 5 s, starts again at 5.5 s, and completes."""
    task = accepted_task(submitted_at=BEGIN)
    task.allocate(at(1), "node-a")
    task.start(at(1))
    decision = after_executor_lost(task, at(5))
    task.retry_later(at(5), at(5), decision.reason, decision.error, {})
    task.request_resources(at(5.5))
    task.allocate(at(5.5), "node-b")
    task.start(at(5.5))
    task.complete(at(6), "{}", {})
    return [
        Message(
            item.sequence, str(item.name), str(item.sender), str(item.recipient), format_time(item.recorded_at),
            str(item.status), item.message, item.previous_hash, item.hash,
        )
        for item in task.change().items
    ]  # fmt: skip


def test_from_the_kill_to_the_next_start() -> None:
    assert waits_after_loss(lost_once(), [at(0.5), at(2), at(9)]) == [3.5]


def test_the_first_kill_in_the_time_of_the_attempt_counts() -> None:
    assert waits_after_loss(lost_once(), [at(2), at(4)]) == [3.5]


def test_a_loss_that_no_kill_explains_is_not_measured() -> None:
    assert waits_after_loss(lost_once(), [at(0.5), at(9)]) == []
