"""What this service expects of the time to come, as far as a submission has to know: capacity, room, run times."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.protocol.resources import Amounts
from app.protocol.task import Task
from app.protocol.times import format_time
from app.resources.capacities import Capacities


@dataclass(frozen=True, slots=True)
class Outlook:
    """See the module's docstring.

    `capacities` are what could ever be granted; `starts_at_once` says whether a request would be granted now;
    `expected_end` when a task that is submitted now would be over at the soonest (seconds since the epoch), None where
    no task of its kind has been seen to end.
    """

    capacities: Capacities
    starts_at_once: Callable[[Amounts], bool]
    expected_end: Callable[[Task], float | None]

    def warning(self, task: Task) -> dict[str, Any] | None:
        """What is to be said of a deadline that cannot be met, as far as can be told; None where nothing is."""
        if task.deadline is None:
            return None
        end = self.expected_end(task)
        if end is None or end <= task.deadline.timestamp():
            return None
        return {
            "kind": "deadline_infeasible",
            "message": "the deadline will be missed: tasks of this kind run too long, or too much comes first",
            "expected_end": format_time(datetime.fromtimestamp(end, UTC)),
        }
