"""Executors outside: claim tasks, say how they go, and end them."""

from contextlib import nullcontext
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.api import examples
from app.api.answers import JsonAnswer
from app.api.bodies import Model, parsed, read_json_body, unacceptable
from app.api.documented import answer, conflicts, problems, ref, takes
from app.api.execution_schemas import (
    Claim,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionProgress,
    Executions,
    HeartbeatAnswer,
    Measured,
)
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.service import Service
from app.api.status_schemas import TaskStatus
from app.execution.backends.backend import Failed
from app.execution.backends.outcomes import too_large
from app.execution.outside import Beat
from app.execution.outside_claims import Execution
from app.protocol.problems import MemberError
from app.protocol.reasons import Reason
from app.protocol.resources import to_wire
from app.protocol.status import json_text
from app.protocol.times import format_time

router = APIRouter(route_class=PolicedRoute)

ExecutionId = Annotated[
    str, Path(description="As the claim has named it.", examples=["01a2092b-b65d-71ec-ad7b-8d8a9fb8c13b.1"])
]
_HELD = {**problems(400, 404, 413, 415, 422), **conflicts("lease-lost")}


@router.post(
    "/v1/executions/claim",
    tags=["Executors"],
    summary="Claim tasks",
    responses={200: answer("What there is to do.", ref(Executions)), **problems(400, 413, 415, 422)},
    openapi_extra=takes(Claim, examples.CLAIM),
)
async def claim_tasks(request: Request) -> Response:
    """Tasks for an executor outside, begun: each is its own for `lease_s` seconds, and longer with every heartbeat.

    With `wait_s` the answer is held back until there is something to do. Only kinds of task that run outside
    (`runs_in: external`) are to be had here.
    """
    service, executor = service_of(request), principal_of(request).subject
    wanted = await _body(request, Claim, "claim")
    wait_s = 0 if service.closing else wanted.wait_s
    with service.places.waits.taken_by(executor) if wait_s else nullcontext():
        found = await service.outside.claims.claim(
            executor,
            _types(service, wanted),
            None if wanted.resources is None else wanted.resources.amounts(),
            wanted.limit,
            wait_s,
            gone=request.is_disconnected,
        )
    return JsonAnswer(200, orjson.dumps({"executions": [_given(service, each) for each in found]}))


@router.post(
    "/v1/executions/{execution_id}/heartbeat",
    tags=["Executors"],
    summary="Keep an execution",
    responses={200: answer("Go on, or stop.", ref(HeartbeatAnswer)), **problems(404), **conflicts("lease-lost")},
)
async def keep_execution(request: Request, execution_id: ExecutionId) -> Response:
    """Keeps the lease, and tells whether to stop: `cancelled`, `timed_out` or `deadline_exceeded`.

    To be called several times within `lease_s`. A cancelled execution that goes on is ended after the grace time, one
    that has run out of time at once: its lease is lost then, and what it still sends is refused (409, `lease-lost`).
    """
    beat = await service_of(request).outside.beat(principal_of(request).subject, execution_id)
    return JsonAnswer(200, orjson.dumps(_beat(beat)))


@router.post(
    "/v1/executions/{execution_id}/progress",
    tags=["Executors"],
    summary="Say how far an execution is",
    responses={200: answer("Recorded; go on, or stop.", ref(HeartbeatAnswer)), **_HELD},
    openapi_extra=takes(ExecutionProgress, examples.PROGRESS),
)
async def report_execution(request: Request, execution_id: ExecutionId) -> Response:
    """Recorded as a ProgressUpdate; a heartbeat as well."""
    service, executor = service_of(request), principal_of(request).subject
    said = await _body(request, ExecutionProgress, "progress")
    await service.outside.progress(executor, execution_id, said.progress, said.details)
    return JsonAnswer(200, orjson.dumps(_beat(await service.outside.beat(executor, execution_id))))


@router.post(
    "/v1/executions/{execution_id}/complete",
    tags=["Executors"],
    summary="Complete an execution",
    responses={200: answer("The task as it is then.", ref(TaskStatus)), **_HELD},
    openapi_extra=takes(ExecutionCompleted, examples.COMPLETED),
)
async def complete_execution(request: Request, execution_id: ExecutionId) -> Response:
    """The attempt has its result. The same again is answered in the same way.

    A result larger than the service keeps fails the task (`result_too_large`).
    """
    service, executor = service_of(request), principal_of(request).subject
    said = await _body(request, ExecutionCompleted, "completion")
    result = json_text(said.result)
    if len(result.encode()) > service.max_result_bytes:
        task = await service.outside.fail(executor, execution_id, too_large(len(result), service.max_result_bytes))
    else:
        task = await service.outside.complete(executor, execution_id, result, _used(said.used))
    return JsonAnswer(200, task.status_json().encode())


@router.post(
    "/v1/executions/{execution_id}/fail",
    tags=["Executors"],
    summary="Fail an execution",
    responses={200: answer("The task as it is then.", ref(TaskStatus)), **_HELD},
    openapi_extra=takes(ExecutionFailed, examples.FAILED),
)
async def fail_execution(request: Request, execution_id: ExecutionId) -> Response:
    """The attempt has failed: another is due later, or the task is Failed (`permanent`, or the last one)."""
    service, executor = service_of(request), principal_of(request).subject
    said = await _body(request, ExecutionFailed, "failure")
    error = said.error.model_dump()
    outcome = Failed(Reason.EXECUTION_ERROR, error, permanent=said.permanent, used=_used(said.used))
    return JsonAnswer(200, (await service.outside.fail(executor, execution_id, outcome)).status_json().encode())


async def _body(request: Request, model: type[Model], name: str) -> Model:
    return parsed(await read_json_body(request, service_of(request).max_body_bytes), model, name)


def _types(service: Service, wanted: Claim) -> tuple[str, ...]:
    """The kinds that are claimed. Raises a 422 problem for one that does not run outside."""
    known = service.outside.claims.types
    if wanted.types is None:
        return known
    errors = [
        MemberError(f"/types/{position}", f"is no kind that runs outside: {', '.join(known) or 'there is none'}")
        for position, name in enumerate(wanted.types)
        if name not in known
    ]
    if errors:
        raise unacceptable("claim", errors)
    return tuple(wanted.types)


def _given(service: Service, execution: Execution) -> dict[str, object]:
    task = execution.task
    return {
        "execution_id": execution.execution_id,
        "task_id": task.task_id,
        "message_id": task.message_id,
        "type": task.type,
        "parameters": execution.parameters,
        "attempt": task.attempt,
        "resources": to_wire(task.allocated),
        "lease_s": service.outside.lease_s,
        "stop_at": format_time(execution.stop_at),
        "deadline": format_time(task.deadline) if task.deadline else None,
    }


def _beat(beat: Beat) -> dict[str, object]:
    return {"stop": beat.stop, "lease_s": beat.lease_s, "stop_at": format_time(beat.stop_at)}


def _used(measured: Measured | None) -> dict[str, float]:
    return {} if measured is None else {name: value for name, value in measured.model_dump().items() if value}
