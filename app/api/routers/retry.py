"""Retry of a failed task."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import examples
from app.api.answers import REPLAYED, RETRY_AFTER, Header, JsonAnswer, location
from app.api.bodies import no_body, read_message
from app.api.delivery_schemas import RetryOverrides
from app.api.documented import answer, conflicts, problems, ref, takes
from app.api.encrypted_answers import shown_submission
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.service import Service
from app.api.status_schemas import TaskStatus
from app.api.visible import visible_task
from app.protocol import strict_json
from app.protocol.roles import Principal

router = APIRouter(route_class=PolicedRoute)

_HEADERS = ("Location", "Retry-After")


@router.post(
    "/v1/tasks/{task_id}/retry",
    status_code=202,
    tags=["Tasks"],
    summary="Retry a failed task",
    responses={
        202: answer("A new task, durable before this answer.", ref(TaskStatus), *_HEADERS),
        200: answer(
            "The same request again: the task that it made.", ref(TaskStatus), *_HEADERS, "Idempotent-Replayed"
        ),
        **problems(400, 404, 413, 415, 422),
        **conflicts("not-failed", "content-erased", "message-id-reused"),
    },
    openapi_extra=takes(RetryOverrides, examples.RETRY, required=False, encrypted=True),
)
async def retry_task(request: Request, task_id: str) -> Response:
    """A new task from a Failed one, linked to it by `details.retry_of`; members that are sent replace the old ones.

    The new task is kept encrypted where the old one is, or the request came encrypted.
    Without `message_id` the call can be repeated safely. A deadline that has passed is left out unless another is sent.
    """
    service, principal = service_of(request), principal_of(request)
    task = await visible_task(service, principal, task_id)
    overrides, encrypted = await _overrides(request, service, principal)
    submission = await service.retry.retry(task, overrides, encrypted_by=principal if encrypted else None)
    if submission.replayed:
        submission = await shown_submission(request, service, principal, submission)
    headers: list[Header] = [location(submission.task_id), RETRY_AFTER]
    if submission.replayed:
        return JsonAnswer(200, submission.status_json.encode(), [*headers, REPLAYED])
    return JsonAnswer(202, submission.status_json.encode(), headers)


async def _overrides(request: Request, service: Service, principal: Principal) -> tuple[Any, bool]:
    """The body's value, and whether it came encrypted; no body overrides nothing."""
    if no_body(request):
        return {}, False
    body, encrypted = await read_message(request, service.max_body_bytes)
    if encrypted:
        return await service.encrypted.open(body, principal), True
    return strict_json.parse(body), False
