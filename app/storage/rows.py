"""A task as a row and back: the one place that knows in which column each member stands."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import RowMapping

from app.protocol.messages import RetryPolicy
from app.protocol.reasons import Reason
from app.protocol.resources import Amounts
from app.protocol.states import State
from app.protocol.status import json_text
from app.protocol.task import Task


class Field(NamedTuple):
    """A column, its type in Postgres, and how its value is read off a task."""

    column: str
    type: str
    read: Callable[[Task], Any]


def amounts_text(amounts: Amounts) -> str:
    """Canonical JSON of a vector, units in order: equal requests have equal text (their "shape")."""
    return _amounts_text(tuple(sorted(amounts.items()))) if amounts else "{}"


@lru_cache(maxsize=4096)
def _amounts_text(items: tuple[tuple[str, int], ...]) -> str:
    return json_text(dict(items))


@lru_cache(maxsize=4096)
def _retry_text(retry: RetryPolicy) -> str:
    return retry.model_dump_json()


@lru_cache(maxsize=4096)
def _retry(text: str) -> RetryPolicy:
    return RetryPolicy.model_validate_json(text)


IDENTITY = (
    Field("message_id", "text", lambda t: t.message_id),
    Field("idempotency_key", "text", lambda t: t.idempotency_key),
    Field("content_digest", "bytea", lambda t: t.content_digest),
    Field("submitter", "text", lambda t: t.submitter),
    Field("type", "text", lambda t: t.type),
    Field("priority", "smallint", lambda t: t.priority),
    Field("submission", "json", lambda t: t.submission),
    Field("deadline", "timestamptz", lambda t: t.deadline),
    Field("labels", "jsonb", lambda t: json_text(t.labels) if t.labels else "{}"),
    Field("requested", "json", lambda t: amounts_text(t.requested)),
    Field("shape", "text", lambda t: amounts_text(t.requested)),
    Field("timeout_s", "double precision", lambda t: t.timeout_s),
    Field("retry", "json", lambda t: _retry_text(t.retry)),
    Field("submitted_at", "timestamptz", lambda t: t.submitted_at),
    Field("retry_of", "uuid", lambda t: t.retry_of),
)
"""Written once, when the task is new."""

STANDING = (
    Field("state", "text", lambda t: t.state.value),
    Field("version", "integer", lambda t: t.version),
    Field("attempt", "integer", lambda t: t.attempt),
    Field("allocation_attempts", "integer", lambda t: t.allocation_attempts),
    Field("progress", "double precision", lambda t: t.progress),
    Field("progress_details", "json", lambda t: t.progress_details_json),
    Field("reason", "text", lambda t: t.reason and t.reason.value),
    Field("error", "json", lambda t: t.error_json),
    Field("result", "json", lambda t: t.result_json),
    Field("waiting", "json", lambda t: t.waiting_json),
    Field("allocated", "json", lambda t: amounts_text(t.allocated)),
    Field("used", "json", lambda t: json_text(t.used) if t.used else "{}"),
    Field("run_at", "timestamptz", lambda t: t.run_at),
    Field("started_at", "timestamptz", lambda t: t.started_at),
    Field("finished_at", "timestamptz", lambda t: t.finished_at),
    Field("updated_at", "timestamptz", lambda t: t.updated_at),
    Field("cancel_requested_at", "timestamptz", lambda t: t.cancel_requested_at),
    Field("acknowledged_sequence", "integer", lambda t: t.acknowledged),
    Field("sequence", "integer", lambda t: t.sequence),
    Field("head_hash", "text", lambda t: t.head_hash),
    Field("lease_owner", "text", lambda t: t.lease_owner),
)
"""Written with every change."""

_READERS = tuple(field.read for field in STANDING)
_IDENTITY_READERS = tuple(field.read for field in IDENTITY)
COLUMNS = ", ".join(["task_id", *(field.column for field in (*IDENTITY, *STANDING))])


def standing_of(task: Task) -> tuple[Any, ...]:
    """The values of STANDING, in order, as they are now."""
    return tuple([read(task) for read in _READERS])


def identity_of(task: Task) -> tuple[Any, ...]:
    """The values of IDENTITY, in order."""
    return tuple([read(task) for read in _IDENTITY_READERS])


def task_of(row: Mapping[str, Any] | RowMapping) -> Task:
    """The task that a row (with at least COLUMNS) holds; its next change is guarded by the version read."""
    return Task(
        task_id=str(row["task_id"]),
        message_id=row["message_id"],
        idempotency_key=row["idempotency_key"],
        content_digest=row["content_digest"],
        submitter=row["submitter"],
        type=row["type"],
        priority=row["priority"],
        submission=row["submission"],
        deadline=row["deadline"],
        labels=_object(row["labels"]),
        requested=_object(row["requested"]),
        timeout_s=row["timeout_s"],
        retry=_retry(row["retry"]),
        submitted_at=row["submitted_at"],
        retry_of=None if row["retry_of"] is None else str(row["retry_of"]),
        state=State(row["state"]),
        version=row["version"],
        attempt=row["attempt"],
        allocation_attempts=row["allocation_attempts"],
        progress=row["progress"],
        progress_details_json=row["progress_details"],
        reason=None if row["reason"] is None else Reason(row["reason"]),
        error_json=row["error"],
        result_json=row["result"],
        waiting_json=row["waiting"],
        allocated=_object(row["allocated"]),
        used=_object(row["used"]),
        run_at=row["run_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        updated_at=row["updated_at"],
        cancel_requested_at=row["cancel_requested_at"],
        acknowledged=row["acknowledged_sequence"],
        sequence=row["sequence"],
        head_hash=row["head_hash"],
        lease_owner=row["lease_owner"],
    ).loaded()


def _object(text: str) -> dict[str, Any]:
    if text == "{}":
        return {}
    value: dict[str, Any] = json.loads(text)
    return value
