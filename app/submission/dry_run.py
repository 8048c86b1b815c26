"""`validate_only`: what would happen to a message that has passed every check."""

from datetime import UTC, datetime
from typing import Any

from app.protocol.messages import SubmitTask
from app.protocol.resources import Amounts, to_wire
from app.protocol.task import Task
from app.protocol.times import format_time


def prospect(message: SubmitTask, requested: Amounts, known: Task | None, *, starts_at_once: bool) -> dict[str, Any]:
    """The answer to a dry run. `expected_start` is null where it depends on what runs now."""
    return {
        "valid": True,
        "type": message.body.task_specification.type,
        "priority": message.body.priority,
        "resources": {"requested": to_wire(requested), "free": starts_at_once},
        "expected_start": format_time(datetime.now(UTC)) if starts_at_once else None,
        "replay_of": known.task_id if known is not None else None,
    }
