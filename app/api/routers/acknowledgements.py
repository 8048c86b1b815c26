"""Acknowledgements: the submitter says what it has received."""

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import examples
from app.api.answers import JsonAnswer
from app.api.bodies import parsed, read_json_body
from app.api.delivery_schemas import Acknowledged, Acknowledgement
from app.api.documented import answer, conflicts, problems, ref, takes
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.visible import visible_task

router = APIRouter(route_class=PolicedRoute)


@router.post(
    "/v1/tasks/{task_id}/acknowledgements",
    tags=["Tasks"],
    summary="Acknowledge messages of a task",
    responses={
        200: answer("Recorded, now or before.", ref(Acknowledged)),
        **problems(400, 404, 413, 415, 422),
        **conflicts("not-yet-sent"),
    },
    openapi_extra=takes(Acknowledgement, examples.ACKNOWLEDGE),
)
async def acknowledge(request: Request, task_id: str) -> Response:
    """Everything up to `sequence` has been received. Cumulative: a lower one than before changes nothing.

    One beyond the last message of the task is refused with 409 (`not-yet-sent`). The Acknowledge becomes part of the
    history, unless nothing but earlier ones would be acknowledged by it.
    """
    service = service_of(request)
    task = await visible_task(service, principal_of(request), task_id)
    wanted = parsed(await read_json_body(request, service.max_body_bytes), Acknowledgement, "acknowledgement")
    receipt = await service.acknowledgements.acknowledge(task, wanted.sequence)
    return JsonAnswer(200, orjson.dumps({"task_id": task_id, **receipt._asdict()}))
