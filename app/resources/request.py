"""What the dispatcher asks the Resource Manager for, and what it is given.

Times are seconds since the epoch, durations are seconds.
"""

from dataclasses import dataclass
from typing import NamedTuple

from app.protocol.resources import Amounts
from app.protocol.task import Task


@dataclass(slots=True, eq=False)
class Request:
    """One task's RequestResources.

    A lower `priority` runs first. `kind` is the task's type: tasks of one kind are expected to run for about as
    long as each other. `timeout_s` is the longest that the task can hold what it is granted.
    """

    task_id: str
    submitter: str
    priority: int
    amounts: Amounts
    submitted_at: float
    deadline: float | None = None
    kind: str = ""
    timeout_s: float = 3600.0


class Grant(NamedTuple):
    """A request granted, all of it. `gpu_devices` are the devices that the task, and no other, may use."""

    task_id: str
    amounts: Amounts
    gpu_devices: tuple[int, ...]


def request_of(task: Task) -> Request:
    """The request that a task makes."""
    return Request(
        task.task_id,
        task.submitter,
        task.priority,
        task.requested,
        task.submitted_at.timestamp(),
        task.deadline.timestamp() if task.deadline else None,
        task.type,
        task.timeout_s,
    )
