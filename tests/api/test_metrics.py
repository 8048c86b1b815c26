"""HTTP metrics of the ordinary routes, measured on a real application."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response, StreamingResponse

from app.api.metrics import instrument, metrics_response
from app.telemetry.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1")


@pytest.fixture
async def client(metrics: Metrics) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()

    @app.get("/things/{name}")
    async def thing(name: str) -> dict[str, str]:
        return {"name": name}

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"

        return StreamingResponse(chunks())

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a defect")

    @app.get("/metrics")
    async def read() -> Response:
        return metrics_response(metrics)

    instrument(app, metrics)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as made:
        yield made


def count(metrics: Metrics, **labels: str) -> float | None:
    return metrics.registry.get_sample_value("http_requests_total", labels)


async def test_a_request_counts_under_its_routes_template(client: httpx.AsyncClient, metrics: Metrics) -> None:
    for name in ("a", "b"):
        await client.get(f"/things/{name}")
    labels = {"method": "GET", "handler": "/things/{name}"}
    assert count(metrics, **labels, status="200") == 2
    assert metrics.registry.get_sample_value("http_request_duration_seconds_count", labels) == 2


async def test_paths_and_methods_that_clients_invent_share_a_series(
    client: httpx.AsyncClient, metrics: Metrics
) -> None:
    for number in range(20):
        await client.request(f"INVENTED{number}", f"/nowhere/{number}")
    assert count(metrics, method="other", handler="none", status="404") == 20
    assert b"INVENTED" not in metrics.render()
    assert b"nowhere" not in metrics.render()


async def test_a_defect_counts_as_500(client: httpx.AsyncClient, metrics: Metrics) -> None:
    assert (await client.get("/broken")).status_code == 500
    assert count(metrics, method="GET", handler="/broken", status="500") == 1


async def test_a_stream_is_passed_on_whole(client: httpx.AsyncClient, metrics: Metrics) -> None:
    assert (await client.get("/stream")).text == "onetwo"
    assert count(metrics, method="GET", handler="/stream", status="200") == 1


async def test_the_answer_is_prometheus_own_and_never_cached(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == "no-store"
    assert "task_executor_error_ratio 0.0" in answer.text.splitlines()
