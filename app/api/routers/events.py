"""The event stream of a task."""

import re
import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.documented import AFTER, LAST_EVENT_ID, TASK_ID, answer, parameters, problems
from app.api.event_stream import MEDIA_TYPE, EventStream
from app.api.problems import Problem
from app.api.routing import SlimRoute, principal_of, service_of
from app.api.visible import visible_task
from app.protocol.task import Task

router = APIRouter(route_class=SlimRoute)

_SEQUENCE = re.compile(r"\d{1,10}", re.ASCII)


@router.get(
    "/v1/tasks/{task_id}/events",  # noqa: FAST003 - a slim route resolves no parameters
    tags=["Tasks"],
    summary="Event stream of a task",
    responses={
        200: answer(
            "The history as server-sent events, to its end. `data` is the item that `/messages` shows.",
            {"type": "string", "examples": ['id: 2\nevent: TaskAccepted\ndata: {"sequence":2}\n\n']},
            kind=MEDIA_TYPE,
        ),
        204: answer("The task is over and everything has been received: do not come back."),
        **problems(400, 404, 422, 429),
    },
    openapi_extra=parameters(TASK_ID, AFTER, LAST_EVENT_ID),
)
async def stream_events(request: Request) -> Response:
    """Every message of the task, from the first or behind `Last-Event-ID`, as it comes; ends behind the terminal one.

    The id of an event is its sequence, its name the message's. A stream that breaks off before (a node that stops, a
    token that expires) is taken up with `Last-Event-ID` at any node, without loss and without doubles.
    """
    service, principal = service_of(request), principal_of(request)
    task = await visible_task(service, principal, request.path_params["task_id"])
    after = _after(request, task)
    if task.state.terminal and after >= task.sequence:
        return Response(status_code=204)
    place = service.streams.take(principal.subject, task.task_id)
    events = service.follower.follow(
        task,
        after,
        expires_at=principal.expires_at,
        revoked=lambda: service.verifier.has_revoked(principal, time.time()),
        draining=lambda: service.closing,
    )
    return EventStream(events, ended=place.release)


def _after(request: Request, task: Task) -> int:
    """Where the stream begins: behind this sequence. Raises a 400 problem for one that the task has never had."""
    for name in request.query_params:
        if name != "after":
            raise Problem(422, "invalid-request", f"There is no query parameter {name[:80]!r} here: remove it.")
    # An EventSource sends the header when it comes back, and its address is still that of the first time.
    sent = [value for value in request.headers.getlist("last-event-id") if value]
    sent = sent or request.query_params.getlist("after") or ["0"]
    if len(sent) > 1 or not _SEQUENCE.fullmatch(sent[0]) or int(sent[0]) > task.sequence:
        raise Problem(
            400,
            "invalid-last-event-id",
            "Last-Event-ID (or after) must be the id of an event that this stream has sent, or 0.",
        )
    return int(sent[0])
