"""Why a task waits, in words."""

import json

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.answers import JsonAnswer
from app.api.control_schemas import Explanation
from app.api.documented import answer, problems, ref
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.visible import visible_task, why_it_waits_anywhere
from app.clock import utc_now
from app.resources.words import in_words

router = APIRouter(route_class=PolicedRoute)


@router.get(
    "/v1/tasks/{task_id}/explanation",
    tags=["Tasks"],
    summary="Why a task waits",
    responses={200: answer("In words, and as data.", ref(Explanation)), **problems(404)},
)
async def explain_task(request: Request, task_id: str) -> Response:
    """Why the task has not started, what is missing, who is ahead, when it is expected to start; or how it goes."""
    service = service_of(request)
    task = await visible_task(service, principal_of(request), task_id)
    status = json.loads(task.status_json(await why_it_waits_anywhere(service, task)))
    explained = {
        "task_id": task_id,
        "status": status["body"]["status"],
        "explanation": in_words(status, utc_now()),
        "waiting": status["body"]["details"]["waiting"],
    }
    return JsonAnswer(200, orjson.dumps(explained))
