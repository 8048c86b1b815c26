"""Erasing the content of a task."""

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.answers import JsonAnswer
from app.api.delivery_schemas import ErasureEntry
from app.api.documented import answer, conflicts, problems, ref
from app.api.problems import Problem
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.visible import visible_task
from app.protocol.times import format_time
from app.storage.erasure import Erasures

router = APIRouter(route_class=PolicedRoute)


@router.delete(
    "/v1/tasks/{task_id}/content",
    tags=["Tasks"],
    summary="Erase the content of a task",
    responses={
        200: answer("Erased; repeated, the record of the first time.", ref(ErasureEntry)),
        **problems(404),
        **conflicts("not-over"),
    },
)
async def erase_content(request: Request, task_id: str) -> Response:
    """Erases what a task that is over contained: its messages, parameters, result, error, progress and labels.

    Its states, times and the digest of each message stay, so that its history can still be verified. There is no way
    back. A task that is not over cannot be erased: 409.
    """
    service, principal = service_of(request), principal_of(request)
    task = await visible_task(service, principal, task_id)
    erasure = await Erasures(service.database).erase(task_id, principal.subject) if task.state.terminal else None
    if erasure is None:
        raise Problem(
            409, "not-over", f"The task is {task.state}: cancel it, or wait for its end.", members={"task_id": task_id}
        )
    entry = {"task_id": task_id, "erased_at": format_time(erasure.erased_at), "erased_by": erasure.erased_by}
    return JsonAnswer(200, orjson.dumps(entry))
