"""Deliveries: how the webhooks of a task stand, sending them again, and what of it an admin can do."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import examples
from app.api.answers import JsonAnswer
from app.api.bodies import Model, parsed, read_optional_json_body
from app.api.documented import answer, conflicts, problems, ref, takes
from app.api.problems import Problem
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.visible import TASK_ID, visible_task
from app.api.webhook_schemas import (
    AdminRedeliverRequest,
    Delivery,
    DeliveryLogPage,
    DeliveryPage,
    Redelivered,
    RedeliverRequest,
)
from app.protocol.times import format_time
from app.storage.delivery_log import DeliveryStatus, LoggedAttempt

router = APIRouter(route_class=PolicedRoute)

MAX_REDELIVERED = 1000

_NOTHING: dict[str, Any] = {
    **dict.fromkeys(Delivery.model_fields),
    **dict.fromkeys(("delivered_sequence", "last_sequence", "attempts", "failures"), 0),
}


class AttemptsQuery(BaseModel):
    """Query of the log."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200, description="Attempts on one page.")
    cursor: int | None = Field(default=None, ge=1, le=2_147_483_647, description="`next_cursor` of the page before.")


class DeliveriesQuery(BaseModel):
    """Query of the list."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["active", "gone", "dead"] | None = Field(default=None, description="Only those in this state.")
    limit: int = Field(default=50, ge=1, le=200, description="Deliveries on one page.")
    cursor: str | None = Field(default=None, max_length=200, description="`next_cursor` of the page before.")


@router.get(
    "/v1/tasks/{task_id}/deliveries",
    tags=["Webhooks"],
    summary="Delivery log of a task",
    responses={200: answer("How its webhooks stand, and each attempt.", ref(DeliveryLogPage)), **problems(404, 422)},
)
async def get_deliveries(request: Request, task_id: str, query: Annotated[AttemptsQuery, Query()]) -> Response:
    """How the webhooks of a task stand, and the last 100 attempts, the newest first."""
    service = service_of(request)
    task = await visible_task(service, principal_of(request), task_id)
    status = await service.delivery_log.status(task_id)
    found = await service.delivery_log.attempts(task_id, query.cursor, query.limit + 1)
    page = found[: query.limit]
    standing = _delivery(status) if status else {**_NOTHING, "task_id": task_id, "submitter": task.submitter}
    following = str(page[-1].attempt) if len(found) > query.limit else None
    return _json(200, {**standing, "items": [_attempt(each) for each in page], "next_cursor": following})


@router.post(
    "/v1/tasks/{task_id}/deliveries/redeliver",
    status_code=202,
    tags=["Webhooks"],
    summary="Send webhooks again",
    responses={
        202: answer("They are due now.", ref(Delivery)),
        **problems(400, 404, 413, 415, 422),
        **conflicts("no-callback", "not-yet-sent"),
    },
    openapi_extra=takes(RedeliverRequest, examples.REDELIVER, required=False),
)
async def redeliver(request: Request, task_id: str) -> Response:
    """Sends the messages from `sequence` on once more (all of them without a body), acknowledged or not.

    A delivery that was ended, by 410 or because it was given up, begins anew.
    """
    service = service_of(request)
    task = await visible_task(service, principal_of(request), task_id)
    wanted = await _body(request, RedeliverRequest, service.max_body_bytes)
    if wanted.sequence > task.sequence:
        raise Problem(
            409,
            "not-yet-sent",
            f"The last message of the task is number {task.sequence}.",
            members={"task_id": task_id, "last_sequence": task.sequence},
        )
    status = await service.delivery_log.redeliver(task_id, wanted.sequence)
    if status is None:
        raise Problem(409, "no-callback", "The task has no callback: nothing of it is delivered by webhook.")
    service.webhooks.nudge([task_id])
    return _json(202, _delivery(status))


@router.get(
    "/v1/admin/webhooks",
    tags=["Administration"],
    summary="List failing webhooks",
    responses={200: answer("One page.", ref(DeliveryPage)), **problems(400, 422)},
)
async def list_webhooks(request: Request, query: Annotated[DeliveriesQuery, Query()]) -> Response:
    """Deliveries whose last attempt failed, or that have been ended, of all submitters."""
    if query.cursor is not None and not TASK_ID.fullmatch(query.cursor):
        raise Problem(400, "invalid-cursor", "The cursor is none that this service has given out.")
    found = await service_of(request).delivery_log.failing(query.state, query.cursor, query.limit + 1)
    page = found[: query.limit]
    following = page[-1].task_id if len(found) > query.limit else None
    return _json(200, {"items": [_delivery(each) for each in page], "next_cursor": following})


@router.post(
    "/v1/admin/webhooks/redeliver",
    status_code=202,
    tags=["Administration"],
    summary="Take failing webhooks up again",
    responses={
        202: answer("They are due now, each where it stands.", ref(Redelivered)),
        **problems(400, 413, 415, 422),
    },
    openapi_extra=takes(AdminRedeliverRequest, examples.ADMIN_REDELIVER),
)
async def redeliver_webhooks(request: Request) -> Response:
    """Goes on with deliveries that fail or have been ended; what has arrived is not sent again."""
    service = service_of(request)
    wanted = await _body(request, AdminRedeliverRequest, service.max_body_bytes)
    revived = await service.delivery_log.revive(wanted.task_ids, wanted.state, MAX_REDELIVERED)
    service.webhooks.nudge(each.task_id for each in revived)
    return _json(202, {"redelivered": len(revived)})


async def _body(request: Request, model: type[Model], limit: int) -> Model:
    """The body as the model has it; none is an empty object."""
    return parsed(await read_optional_json_body(request, limit), model, "request")


def _delivery(status: DeliveryStatus) -> dict[str, Any]:
    return {
        "task_id": status.task_id,
        "submitter": status.submitter,
        "state": status.state,
        "url": status.url,
        "events": status.events.split(",") if status.events else None,
        "acknowledge": status.acknowledged_by,
        "secret": "own" if status.has_own_secret else "registered",
        "delivered_sequence": status.delivered_sequence,
        "last_sequence": status.wanted_sequence,
        "attempts": status.attempts,
        "failures": status.failures,
        "last_outcome": status.last_outcome,
        "last_attempt_at": _moment(status.last_attempt_at),
        "waiting_since": _moment(status.waiting_since),
        "next_attempt_at": _moment(status.next_attempt_at),
    }


def _attempt(attempt: LoggedAttempt) -> dict[str, Any]:
    return {
        **attempt._asdict(),
        "attempted_at": _moment(attempt.attempted_at),
        "next_attempt_at": _moment(attempt.next_attempt_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment.astimezone(UTC))


def _json(status: int, value: dict[str, Any]) -> JsonAnswer:
    return JsonAnswer(status, orjson.dumps(value))
