"""task_validator: whether a message is a task that this service can do (protocol, "Required Components").

Finds everything that is wrong at once: a message with three mistakes is answered with three.
"""

import difflib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from app.protocol.messages import SubmitTask
from app.protocol.problems import MemberError, member_errors
from app.protocol.times import format_time, parse_time
from app.task_types.definition import TaskType
from app.task_types.registry import Registry

SPECIFICATION = "/body/task_specification"
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found: `message` and `kind` are there when they could be read, whatever else is wrong."""

    message: SubmitTask | None
    kind: TaskType | None
    errors: list[MemberError]


def check_task(value: Any, registry: Registry, now: datetime) -> Checked:
    """Checks a parsed body against task_validation_schema and its type's own schema of parameters."""
    try:
        message = SubmitTask.model_validate(value)
        errors: list[MemberError] = []
    except ValidationError as error:
        message = None
        errors = member_errors(error)
    specification = _member(value, "body", "task_specification")
    kind, kind_errors = _check_kind(specification, registry)
    errors += kind_errors
    errors += _check_times(value, message, now)
    return Checked(message, kind, errors)


def _check_kind(specification: Any, registry: Registry) -> tuple[TaskType | None, list[MemberError]]:
    name = _member(specification, "type")
    if not isinstance(name, str) or not name:
        return None, []
    kind = registry.get(name)
    if kind is None:
        return None, [MemberError(f"{SPECIFICATION}/type", _unknown_type(name, registry))]
    parameters = _member(specification, "parameters")
    if parameters is None and "parameters" not in specification:
        parameters = {}
    if not isinstance(parameters, dict):
        return kind, []
    try:
        kind.parameters.model_validate(parameters)
    except ValidationError as error:
        return kind, member_errors(error, f"{SPECIFICATION}/parameters")
    return kind, []


def _unknown_type(name: str, registry: Registry) -> str:
    names = [kind.name for kind in registry]
    near = difflib.get_close_matches(name[:255], names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"this service offers {', '.join(names)}"
    return f"is not a kind of task that this service offers: {hint}"


def _check_times(value: Any, message: SubmitTask | None, now: datetime) -> list[MemberError]:
    """Of a message that could not be read, whatever of its times can be."""
    if message is None:
        timestamp = _time(_member(value, "header", "timestamp"))
        deadline = _time(_member(value, "body", "deadline"))
    else:
        timestamp, deadline = message.header.timestamp, message.body.deadline
    errors = []
    if timestamp is not None and timestamp > now + CLOCK_TOLERANCE:
        errors.append(
            MemberError(
                "/header/timestamp",
                f"is more than 5 minutes ahead of this service's clock ({format_time(now)}): check yours",
            )
        )
    if deadline is not None and deadline <= now:
        errors.append(
            MemberError("/body/deadline", f"has passed: it is {format_time(now)} now; send a later one, or none")
        )
    return errors


def _time(text: Any) -> datetime | None:
    """The moment, or None for what the schema has already complained about."""
    try:
        return parse_time(text)
    except ValueError:
        return None


def _member(value: Any, *path: str) -> Any:
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
