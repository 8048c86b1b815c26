"""The event stream of a task."""

import re
import time
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.documented import AFTER, LAST_EVENT_ID, TASK_ID, answer, parameters, problems
from app.api.encrypted_answers import may_read, recipient, shown
from app.api.event_stream import MEDIA_TYPE, Events, EventStream
from app.api.problems import Problem
from app.api.routing import SlimRoute, principal_of, service_of
from app.api.service import Service
from app.api.visible import visible_task
from app.protocol.history import Item
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
    With `Accept: application/jose` the data of each event are a compact JWE.
    """
    service, principal = service_of(request), principal_of(request)
    task = await visible_task(service, principal, request.path_params["task_id"])
    after = _after(request, task)
    if task.state.terminal and after >= task.sequence:
        return Response(status_code=204)
    # A key that is missing here is told before the stream begins.
    await shown(request, service, principal, task)
    place = service.places.streams.take(principal.subject, task.task_id)
    events: Events = service.follower.follow(
        task,
        after,
        expires_at=principal.expires_at,
        revoked=lambda: service.verifier.has_revoked(principal, time.time()),
        draining=lambda: service.closing,
    )
    found = recipient(request)
    if found is None:
        return EventStream(events, ended=place.release)
    if may_read(request, principal, task):
        events = _opened(service, task, events)
    return EventStream(events, ended=place.release, seal=found.seal)


async def _opened(service: Service, task: Task, events: Events) -> Events:
    """The messages with their content to be read."""
    async with aclosing(events):
        async for event in events:
            yield await service.contents.message(task, event) if isinstance(event, Item) else event


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
