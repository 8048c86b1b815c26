"""`validate_only`: what would happen to a message that has passed every check."""

from typing import Any

from app.clock import utc_now
from app.protocol.resources import to_wire
from app.protocol.task import Task
from app.protocol.times import format_time
from app.submission.outlook import Outlook


def prospect(task: Task, known: Task | None, outlook: Outlook) -> dict[str, Any]:
    """The answer to a dry run. `expected_start` is null where it depends on what runs now."""
    starts_at_once = outlook.starts_at_once(task.requested)
    return {
        "valid": True,
        "type": task.type,
        "priority": task.priority,
        "resources": {"requested": to_wire(task.requested), "free": starts_at_once},
        "expected_start": format_time(utc_now()) if starts_at_once else None,
        "warning": outlook.warning(task),
        "replay_of": known.task_id if known is not None else None,
    }
