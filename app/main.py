"""The ASGI application: create_app() and its lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.responses import Response

from app.api.cross_origin import CrossOrigin
from app.api.hot_path import HotPath
from app.api.metrics import instrument
from app.api.openapi import Description, operation_id, timeless
from app.api.problems import KNOWN, problem_response
from app.api.rate_headers import RateHeaders
from app.api.routers import HOT, ROUTERS
from app.api.routing import SlimRoute
from app.api.security_headers import SecurityHeaders
from app.api.unforeseen import Unforeseen
from app.bootstrap.runtime import running_service
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.version import VERSION


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application; it starts and ends with its lifespan.

    Without `settings` they are read from the environment at the start.
    """
    metrics = Metrics(VERSION)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        known = settings or Settings()
        front.allow(known.security.cors_origins)
        async with running_service(known, metrics) as service:
            app.state.service = service
            app.state.description = Description(app, service.registry)
            yield

    app = FastAPI(
        title="Task Executor",
        version=VERSION,
        lifespan=lifespan,
        redirect_slashes=False,
        # Asked on every request whether a provider is there, which reads the environment each time: 20 microseconds.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        # Served by routes of our own: app/api/routers/documents.py.
        openapi_url=None,
        generate_unique_id_function=operation_id,
    )

    async def answer_problem(request: Request, error: Exception) -> Response:
        return problem_response(error, request.url.path)

    for known in KNOWN:
        app.add_exception_handler(known, answer_problem)
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = lambda: timeless(app)  # type: ignore[method-assign]  # FastAPI's own way to replace it
    app.add_middleware(Unforeseen)
    app.add_middleware(RateHeaders)
    app.add_middleware(SecurityHeaders)
    instrument(app, metrics)
    slim = [route for router in HOT for route in router.routes if isinstance(route, SlimRoute)]
    ordinary_way = app.build_middleware_stack
    # Asked before all middleware, FastAPI's own too, none of which a slim route has a use for.
    front = CrossOrigin(HotPath(ordinary_way(), slim, metrics.http.meter))
    app.build_middleware_stack = lambda: front  # type: ignore[method-assign]  # nothing else stands before them
    return app
