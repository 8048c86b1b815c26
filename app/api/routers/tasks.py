"""One task: submit, status, cancel."""

import asyncio
import time
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.api import examples
from app.api.answers import REPLAYED, RETRY_AFTER, Header, JsonAnswer, NotModified, etag_of, location
from app.api.bodies import read_message
from app.api.documented import (
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    PREFER,
    TASK_ID,
    VALIDATE_ONLY,
    answer,
    conflicts,
    parameters,
    problems,
    ref,
    takes,
)
from app.api.encrypted_answers import shown, shown_submission
from app.api.headers import idempotency_key_of, known_version, matches, wait_of
from app.api.problems import UNAUTHENTICATED, Problem
from app.api.routing import PolicedRoute, SlimRoute, principal_of, service_of
from app.api.schemas import DryRun
from app.api.service import Service
from app.api.status_schemas import TaskStatus
from app.api.visible import visible_task, why_it_waits
from app.protocol.messages import SubmitTask
from app.protocol.roles import Principal
from app.protocol.task import Task

hot = APIRouter(route_class=SlimRoute)
router = APIRouter(route_class=PolicedRoute)


@hot.post(
    "/v1/tasks",
    status_code=202,
    tags=["Tasks"],
    summary="Submit a task",
    responses={
        202: answer("Accepted, and durable before this answer.", ref(TaskStatus), "Location", "Retry-After"),
        200: answer(
            "The same message again: its task as it is now. With `validate_only`: what would happen.",
            {"anyOf": [ref(TaskStatus), ref(DryRun)]},
            "Location",
            "Retry-After",
            "Idempotent-Replayed",
        ),
        **problems(400, 413, 415, 422),
        **conflicts("message-id-reused"),
    },
    openapi_extra={**takes(SubmitTask, examples.SUBMIT, encrypted=True), **parameters(VALIDATE_ONLY, IDEMPOTENCY_KEY)},
)
async def submit_task(request: Request) -> Response:
    """The protocol's submit_task message. A message that can be read and is not acceptable is kept as a Rejected task.

    The same message_id with the same body again is answered with the task that it made; with another body, 409.
    An encrypted message (a compact JWE by a key of `/.well-known/jwks.json`) is kept encrypted, and names its sender.
    """
    service = service_of(request)
    body, encrypted = await read_message(request, service.max_body_bytes)
    principal, key = principal_of(request), idempotency_key_of(request)
    if request.scope["query_string"] and _validate_only(request):
        return JsonAnswer(200, orjson.dumps(await _dry_run(service, body, principal, key, encrypted=encrypted)))
    if encrypted:
        submission = await service.encrypted.submit(body, principal, key)
    else:
        submission = await service.submission.submit(body, principal.subject, key)
    if submission.replayed:
        submission = await shown_submission(request, service, principal, submission)
    headers: list[Header] = [location(submission.task_id), RETRY_AFTER]
    if submission.replayed:
        return JsonAnswer(200, submission.status_json.encode(), [*headers, REPLAYED])
    return JsonAnswer(202, submission.status_json.encode(), headers)


async def _dry_run(
    service: Service, body: bytes, principal: Principal, key: str | None, *, encrypted: bool
) -> dict[str, Any]:
    if encrypted:
        prospect = await service.encrypted.dry_run(body, principal, key)
    else:
        prospect = await service.submission.dry_run(body, principal.subject, key)
    violated = [] if prospect["replay_of"] else await service.quotas.violated_by(principal.subject, len(body))
    return {**prospect, "quota": {"accepted": not violated, "violated-policies": violated}}


def _validate_only(request: Request) -> bool:
    unknown = set(request.query_params) - {"validate_only"}
    if unknown:
        name = min(unknown)
        raise Problem(422, "invalid-request", f"There is no query parameter {name[:80]!r} here: remove it.")
    # A query such as "?&" is there and names nothing.
    value = request.query_params.get("validate_only", "false").lower()
    if value not in ("true", "1", "false", "0"):
        raise Problem(422, "invalid-request", "The query parameter validate_only must be true or false.")
    return value in ("true", "1")


@hot.get(
    "/v1/tasks/{task_id}",  # noqa: FAST003 - a slim route resolves no parameters
    tags=["Tasks"],
    summary="Status of a task",
    responses={
        200: answer("The task's status.", ref(TaskStatus), "ETag", "Retry-After", "Preference-Applied"),
        304: answer("As it was when it had the ETag sent.", None, "ETag", "Retry-After", "Preference-Applied"),
        **problems(404),
    },
    openapi_extra=parameters(TASK_ID, PREFER, IF_NONE_MATCH),
)
async def get_task(request: Request) -> Response:
    """The task_status message as it is now. `Retry-After` says when to ask again, until the task is over.

    `Prefer: wait=N` holds the answer back until the task is another than If-None-Match names (or, without that
    header, than it was when asked). A task that is over is answered at once.
    """
    service = service_of(request)
    task = await visible_task(service, principal_of(request), request.path_params["task_id"])
    wait_s = wait_of(request)
    if wait_s and not task.state.terminal:
        with service.places.waits.taken_by(principal_of(request).subject):
            task = await _changed(request, task, known_version(request), wait_s)
    return await _status(request, service, await shown(request, service, principal_of(request), task), waited=wait_s)


async def _changed(request: Request, task: Task, known: int | None, wait_s: float) -> Task:
    """The task once it is another than the client knows, or as it is after the wait.

    Raises the 401 problem where the token is revoked meanwhile, ClientDisconnect where the client has gone.
    """
    service, principal = service_of(request), principal_of(request)
    version = task.version if known is None else known
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s
    with service.watch.subscribe(task.task_id) as subscription:
        while True:
            fresh = await service.reader.get(task.task_id)
            task = fresh or task
            left_s = deadline - clock()
            if task.version != version or task.state.terminal or left_s <= 0 or service.closing:
                return task
            await subscription.wait(min(left_s, 1.0))
            if service.verifier.has_revoked(principal, time.time()):
                raise UNAUTHENTICATED
            if await request.is_disconnected():
                raise ClientDisconnect


async def _status(request: Request, service: Service, task: Task, waited: int | None) -> Response:
    waiting = await why_it_waits(service, task)
    etag = etag_of(task, waiting)
    headers: list[Header] = [(b"etag", etag.encode())]
    if not task.state.terminal:
        headers.append(RETRY_AFTER)
    if waited is not None:
        headers.append((b"preference-applied", f"wait={waited}".encode()))
    if matches(request, etag):
        return NotModified(headers)
    return JsonAnswer(200, task.status_json(waiting).encode(), headers)


@router.post(
    "/v1/tasks/{task_id}/cancel",
    status_code=202,
    tags=["Tasks"],
    summary="Cancel a task",
    responses={
        202: answer("The wish is recorded.", ref(TaskStatus), "Location", "Retry-After"),
        **problems(404),
        **conflicts("already-over"),
    },
)
async def cancel_task(request: Request, task_id: str) -> Response:
    """A queued task is Failed at once; a running one's handler is told, and killed after a grace time.

    A task that is over cannot be cancelled: 409.
    """
    service, principal = service_of(request), principal_of(request)
    task = await visible_task(service, principal, task_id)
    await service.cancellation.cancel(task, principal.subject)
    task = await visible_task(service, principal, task_id)
    task = await shown(request, service, principal, task)
    headers: list[Header] = [location(task_id), *([] if task.state.terminal else [RETRY_AFTER])]
    return JsonAnswer(202, task.status_json(await why_it_waits(service, task)).encode(), headers)
