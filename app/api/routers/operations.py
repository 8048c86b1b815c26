"""For operators: is it alive, is it ready, what does it measure."""

import orjson
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from app.api.answers import JsonAnswer
from app.api.documented import answer, problems, ref
from app.api.metrics import metrics_response
from app.api.problems import Problem
from app.api.routing import PolicedRoute, service_of
from app.api.schemas import Live, Ready

router = APIRouter(route_class=PolicedRoute)


@router.get(
    "/livez",
    tags=["Operations"],
    summary="Is it alive?",
    responses={200: answer("The process answers.", ref(Live))},
)
async def live() -> Response:
    """The process answers. It says nothing about the database: restarting would not bring that back."""
    return JsonAnswer(200, b'{"status":"alive"}')


@router.get(
    "/readyz",
    tags=["Operations"],
    summary="Does it take tasks?",
    responses={200: answer("It does.", ref(Ready)), **problems(503)},
)
async def ready(request: Request) -> Response:
    """The service takes tasks: it is not draining, and its database answers and can be written."""
    service = service_of(request)
    if not service.ready:
        raise Problem(503, "draining", "The service is shutting down.", headers={"Retry-After": "1"})
    await service.readiness.check()
    return JsonAnswer(200, orjson.dumps({"status": "ready", "node": service.node_id}))


@router.get(
    "/metrics",
    tags=["Operations"],
    summary="Metrics",
    response_class=PlainTextResponse,
    responses={200: answer("In the text format of Prometheus.", None)},
)
async def metrics(request: Request) -> Response:
    """Everything measured, for Prometheus."""
    return metrics_response(service_of(request).metrics)
