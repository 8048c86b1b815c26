"""A task as a row and back: the one place that knows in which column each member stands."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import RowMapping

from app.protocol.messages import RetryPolicy
from app.protocol.reasons import Reason
from app.protocol.resources import Amounts
from app.protocol.states import State
from app.protocol.status import json_text
from app.protocol.task import Task


class Field(NamedTuple):
    """A column, its type in Postgres, and the member of Task that it holds; None where its value is worked out."""

    column: str
    type: str
    member: str | None


def amounts_text(amounts: Amounts) -> str:
    """Canonical JSON of a vector, units in order: equal requests have equal text (their "shape")."""
    return _amounts_text(tuple(sorted(amounts.items()))) if amounts else "{}"


@lru_cache(maxsize=4096)
def _amounts_text(items: tuple[tuple[str, int], ...]) -> str:
    return json_text(dict(items))


@lru_cache(maxsize=4096)
def amounts_of(text: str) -> Amounts:
    """The vector of a shape. For reading only: it is remembered."""
    amounts: Amounts = json.loads(text)
    return amounts


@lru_cache(maxsize=4096)
def _retry_text(retry: RetryPolicy) -> str:
    return retry.model_dump_json()


@lru_cache(maxsize=4096)
def _retry(text: str) -> RetryPolicy:
    return RetryPolicy.model_validate_json(text)


IDENTITY = (
    Field("message_id", "text", "message_id"),
    Field("idempotency_key", "text", "idempotency_key"),
    Field("content_digest", "bytea", "content_digest"),
    Field("submitter", "text", "submitter"),
    Field("type", "text", "type"),
    Field("priority", "smallint", "priority"),
    Field("submission", "json", "submission"),
    Field("deadline", "timestamptz", "deadline"),
    Field("timeout_s", "double precision", "timeout_s"),
    Field("submitted_at", "timestamptz", "submitted_at"),
    Field("retry_of", "uuid", "retry_of"),
    Field("encryption", "json", "encryption_json"),
    Field("callback", "boolean", "callback"),
    # Worked out by identity_of, in this order.
    Field("labels", "jsonb", None),
    Field("requested", "json", None),
    Field("shape", "text", None),
    Field("retry", "json", None),
)
"""Written once, when the task is new."""

STANDING = (
    Field("state", "text", "state"),
    Field("version", "integer", "version"),
    Field("attempt", "integer", "attempt"),
    Field("allocation_attempts", "integer", "allocation_attempts"),
    Field("progress", "double precision", "progress"),
    Field("progress_details", "json", "progress_details_json"),
    Field("reason", "text", "reason"),
    Field("error", "json", "error_json"),
    Field("result", "json", "result_json"),
    Field("waiting", "json", "waiting_json"),
    Field("warning", "json", "warning_json"),
    Field("run_at", "timestamptz", "run_at"),
    Field("started_at", "timestamptz", "started_at"),
    Field("finished_at", "timestamptz", "finished_at"),
    Field("updated_at", "timestamptz", "updated_at"),
    Field("cancel_requested_at", "timestamptz", "cancel_requested_at"),
    Field("acknowledged_sequence", "integer", "acknowledged"),
    Field("sequence", "integer", "sequence"),
    Field("head_hash", "text", "head_hash"),
    Field("lease_owner", "text", "lease_owner"),
    # Worked out by standing_of, in this order.
    Field("allocated", "json", None),
    Field("used", "json", None),
)
"""Written with every change."""

# One call for all members: reading them one by one took a third of the journal's time in Python.
_standing_members = attrgetter(*(field.member for field in STANDING if field.member))
_identity_members = attrgetter(*(field.member for field in IDENTITY if field.member))
COLUMNS = ", ".join(["task_id", *(field.column for field in (*IDENTITY, *STANDING))])


def standing_of(task: Task) -> tuple[Any, ...]:
    """The values of STANDING, in order, as they are now."""
    return (*_standing_members(task), amounts_text(task.allocated), json_text(task.used) if task.used else "{}")


def identity_of(task: Task) -> tuple[Any, ...]:
    """The values of IDENTITY, in order."""
    requested = amounts_text(task.requested)
    labels = json_text(task.labels) if task.labels else "{}"
    return (*_identity_members(task), labels, requested, requested, _retry_text(task.retry))


def in_order(task_ids: Iterable[str]) -> tuple[list[str], str | None, str | None]:
    """The ids in order, the least and the greatest of them: what a statement over several tasks takes.

    The bounds tell Postgres before it begins which weeks the ids can be in; it would make ready to look into every
    week otherwise, which takes 70 us where there are a dozen.
    """
    ordered = sorted(task_ids)
    return (ordered, ordered[0], ordered[-1]) if ordered else ([], None, None)


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
        encryption_json=row["encryption"],
        callback=row["callback"],
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
        warning_json=row["warning"],
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
