"""What a submitter may want of a task that is held: steps that raise Conflict where it comes too late."""

from datetime import datetime

from app.execution.holding import Step
from app.execution.retry import stop_error
from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.storage.errors import Conflict


def cancel(by: str) -> Step:
    """The task is to stop."""

    def wish(task: Task, now: datetime) -> None:
        if task.lease_owner is None:
            raise Conflict
        task.request_cancel(now, by)

    return wish


def end_cancelled(task: Task, now: datetime) -> None:
    """It had not started: it is over at once."""
    task.fail(now, Reason.CANCELLED, stop_error(task, Reason.CANCELLED))


def acknowledge(sequence: int) -> Step:
    """Everything up to this sequence has been received."""

    def wish(task: Task, now: datetime) -> None:
        if task.lease_owner is None or sequence <= task.acknowledged:
            raise Conflict
        task.acknowledge(now, sequence)

    return wish
