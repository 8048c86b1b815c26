"""Acknowledgements: the submitter says what it has received."""

import orjson
from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from app.api import examples
from app.api.answers import JsonAnswer
from app.api.bodies import read_json_body
from app.api.delivery_schemas import Acknowledged, Acknowledgement
from app.api.documented import answer, problems, ref, takes
from app.api.problems import Problem
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.visible import visible_task
from app.protocol import strict_json
from app.protocol.problems import member_errors

router = APIRouter(route_class=PolicedRoute)


@router.post(
    "/v1/tasks/{task_id}/acknowledgements",
    tags=["Tasks"],
    summary="Acknowledge messages of a task",
    responses={
        200: answer("Recorded, now or before.", ref(Acknowledged)),
        **problems(400, 404, 409, 413, 415, 422),
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
    wanted = _acknowledgement(await read_json_body(request, service.max_body_bytes))
    receipt = await service.acknowledgements.acknowledge(task, wanted.sequence)
    return JsonAnswer(200, orjson.dumps({"task_id": task_id, **receipt._asdict()}))


def _acknowledgement(body: bytes) -> Acknowledgement:
    try:
        return Acknowledgement.model_validate(strict_json.parse(body))
    except ValidationError as error:
        raise Problem(
            422,
            "invalid-acknowledgement",
            "The acknowledgement is not acceptable; see errors.",
            errors=member_errors(error),
        ) from None
