"""HTTP metrics of the ordinary routes, and what GET /metrics answers.

The hot routes never reach FastAPI's middleware and count themselves with an `HttpMeter` (app/telemetry/http_metrics).
"""

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import Info
from starlette.responses import Response

from app.telemetry.metrics import Metrics


def instrument(app: FastAPI, metrics: Metrics) -> None:
    """Measures every route of the application; paths that no route has are counted together as "none"."""

    def observe(info: Info) -> None:
        # A stream lasts as long as its task: what counts is when its answer began. Zero means that none began.
        seconds = info.modified_duration_without_streaming or info.modified_duration
        metrics.http.observe(info.method, info.modified_handler, int(info.modified_status), seconds)

    instrumentator = Instrumentator(should_group_status_codes=False, registry=metrics.registry)
    instrumentator.add(observe).instrument(app)


def metrics_response(metrics: Metrics) -> Response:
    """All metrics as Prometheus reads them. To be made in the event loop, where what the observers read is whole."""
    return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})
