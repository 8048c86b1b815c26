"""A checked message, and the task that one becomes which was found wanting."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.protocol.messages import Header, RetryPolicy
from app.protocol.problems import MemberError, as_json
from app.protocol.resources import Amounts
from app.protocol.task import Task
from app.submission.idempotency import content_digest
from app.submission.identifiers import new_task_id
from app.submission.task_validator import Checked

UNREADABLE_PRIORITY = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A checked message (without its callback's secret): what it asks for, and what is wrong with it."""

    value: Any
    checked: Checked
    requested: Amounts
    errors: list[MemberError]


def validation_error(errors: list[MemberError]) -> dict[str, Any]:
    """`details.error` of a Rejected task."""
    sentences = "; ".join(f"{error.pointer or 'the message'} {error.detail}" for error in errors)
    return {"kind": "validation_failed", "message": sentences[:2000], "errors": as_json(errors)}


def rejected_task(verdict: Verdict, header: Header, text: str, submitter: str, now: datetime) -> Task:
    """The task to be rejected, with what can be read of its message."""
    body = verdict.value.get("body")
    body = body if isinstance(body, dict) else {}
    specification = body.get("task_specification")
    name = specification.get("type") if isinstance(specification, dict) else None
    priority = body.get("priority")
    message = verdict.checked.message
    return Task(
        task_id=new_task_id(),
        message_id=header.message_id,
        idempotency_key=header.message_id,
        content_digest=content_digest(body),
        submitter=submitter,
        type=name[:255] if isinstance(name, str) else "",
        priority=priority if message is not None and isinstance(priority, int) else UNREADABLE_PRIORITY,
        submission=text,
        deadline=message.body.deadline if message is not None else None,
        labels=message.body.task_specification.labels if message is not None else {},
        requested=verdict.requested,
        timeout_s=0,
        retry=RetryPolicy(),
        submitted_at=now,
    )
