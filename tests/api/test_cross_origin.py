"""Pages of other origins read nothing, unless the operator names them."""

from collections.abc import Callable

import httpx
import pytest

from tests.api.caller import Callers, message
from tests.support.service import Service

PAGE = "https://board.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def allowed(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control")}


@pytest.fixture
def service(start_service: Callable[..., Service]) -> Service:
    return start_service(cors_origins=f"{PAGE}, http://localhost:3000")


def test_a_named_page_may_ask_and_read_on_both_ways(service: Service) -> None:
    callers = Callers(service)
    alice = callers.make().http
    for origin in (PAGE, "http://localhost:3000"):
        preflight = alice.options("/v1/tasks", headers={"Origin": origin, **PREFLIGHT})
        assert preflight.status_code == 200
        assert allowed(preflight)["access-control-allow-origin"] == origin
        assert "Authorization" in allowed(preflight)["access-control-allow-headers"]
        for response in (
            alice.post("/v1/tasks", json=message(), headers={"Origin": origin}),
            alice.get("/v1/tasks", headers={"Origin": origin}),
            alice.get("/v1/tasks/nothing", headers={"Origin": origin}),
            httpx.get(f"{service.url}/v1/tasks", headers={"Origin": origin}),
        ):
            assert allowed(response)["access-control-allow-origin"] == origin
            assert "ETag" in allowed(response)["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in response.headers
    callers.close()


OTHERS = (
    "https://evil.example",
    "null",
    f"{PAGE}.evil.example",
    f"{PAGE}:443",
    "http://board.example",
    "HTTPS://x",
    "*",
    "",
)


def test_any_other_page_may_not(service: Service) -> None:
    with httpx.Client(base_url=service.url) as client:
        for origin in OTHERS:
            preflight = client.options("/v1/tasks", headers={"Origin": origin, **PREFLIGHT})
            assert (preflight.status_code, allowed(preflight)) == (405, {}), origin
            assert allowed(client.get("/livez", headers={"Origin": origin})) == {}, origin
            both = client.get("/livez", headers=[("Origin", PAGE), ("Origin", origin)])
            assert allowed(both) == {}, origin
