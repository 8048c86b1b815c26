"""Retry of a failed task."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import examples
from app.api.answers import REPLAYED, RETRY_AFTER, Header, JsonAnswer, location
from app.api.bodies import read_optional_json_body
from app.api.delivery_schemas import RetryOverrides
from app.api.documented import answer, problems, ref, takes
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.status_schemas import TaskStatus
from app.api.visible import visible_task
from app.protocol import strict_json

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
        **problems(400, 404, 409, 413, 415, 422),
    },
    openapi_extra=takes(RetryOverrides, examples.RETRY, required=False),
)
async def retry_task(request: Request, task_id: str) -> Response:
    """A new task from a Failed one, linked to it by `details.retry_of`; members that are sent replace the old ones.

    Without `message_id` the call can be repeated safely. A deadline that has passed is left out unless another is sent.
    """
    service = service_of(request)
    task = await visible_task(service, principal_of(request), task_id)
    submission = await service.retry.retry(
        task, strict_json.parse(await read_optional_json_body(request, service.max_body_bytes))
    )
    headers: list[Header] = [location(submission.task_id), RETRY_AFTER]
    if submission.replayed:
        return JsonAnswer(200, submission.status_json.encode(), [*headers, REPLAYED])
    return JsonAnswer(202, submission.status_json.encode(), headers)
