import json
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import ValidationError

from app.outbound.client import OutboundClient
from app.outbound.rules import OutboundRules
from app.protocol.roles import Role
from app.task_types import http_request as module
from app.task_types.definition import PermanentError, RetryLater
from app.task_types.http_request import HttpRequestParameters, http_request, open_door
from tests.api.caller import Callers, details, message, pointers
from tests.support.service import Service
from tests.support.sink import Behaviour, Sink, SinkThread, answers, floods, resets
from tests.task_types.contexts import context


@pytest.fixture(autouse=True)
def closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_door", module._Door())


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A server of the loopback, which tasks may call."""
    rules = OutboundRules((ip_network("127.0.0.0/8"),), plain_http=True)
    async with Sink() as started, OutboundClient(rules) as client:
        open_door(client, [f"127.0.0.1:{started.port}"])
        yield started


async def call(**parameters: Any) -> dict[str, Any]:
    return await http_request(HttpRequestParameters.model_validate(parameters), context())  # type: ignore[no-any-return]


async def test_the_answer_is_the_result(sink: Sink) -> None:
    url = sink.tell("/orders?full=1", answers(200, "Content-Type: application/json", body=b'{"order": 7}'))
    result = await call(url=url, method="POST", json={"order": 7}, headers={"X-Tenant": "a"})
    assert result == {
        "status": 200,
        "headers": {"content-length": "12", "content-type": "application/json"},
        "body": '{"order": 7}',
        "encoding": "text",
        "truncated": False,
    }
    (received,) = sink.received
    assert (received.method, json.loads(received.body)) == ("POST", {"order": 7})
    assert received.headers["x-tenant"] == "a"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["idempotency-key"] == context().task_id


async def test_what_is_no_text_comes_in_base64_and_too_much_is_cut_off(sink: Sink) -> None:
    assert (await call(url=sink.tell("/", answers(200, body=b"\xff\x00"))))["body"] == "/wA="
    result = await call(url=sink.tell("/flood", floods))
    assert (len(result["body"]), result["truncated"]) == (65_536, True)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 422])
async def test_an_answer_that_would_be_the_same_again_is_final(sink: Sink, status: int) -> None:
    with pytest.raises(PermanentError, match=f"answered {status}"):
        await call(url=sink.tell("/", answers(status, "Location: http://127.0.0.1:1/")))


@pytest.mark.parametrize("behaviour", [answers(500), answers(503), answers(429), answers(408), answers(425)])
async def test_what_may_pass_is_tried_again(sink: Sink, behaviour: Behaviour) -> None:
    with pytest.raises(RetryLater) as raised:
        await call(url=sink.tell("/", behaviour))
    assert raised.value.after_s == 0


async def test_no_answer_is_tried_again(sink: Sink) -> None:
    with pytest.raises(ConnectionError):
        await call(url=sink.tell("/", resets))


@pytest.mark.parametrize(("asked", "after_s"), [("120", 120), ("9999999", 86_400), ("soon", 0)])
async def test_the_host_says_when(sink: Sink, asked: str, after_s: float) -> None:
    with pytest.raises(RetryLater) as raised:
        await call(url=sink.tell("/", answers(503, f"Retry-After: {asked}")))
    assert raised.value.after_s == after_s


async def test_nothing_is_called_that_is_not_listed(sink: Sink) -> None:
    with pytest.raises(PermanentError, match=r"localhost:\d+ is not among those"):
        await call(url=f"http://localhost:{sink.port}/")
    monkey = module._Door()
    assert monkey.hosts == ()
    module._door.hosts = ()
    with pytest.raises(PermanentError, match="TASK_EXECUTOR_HTTP_REQUEST_HOSTS"):
        await call(url=sink.url + "/")
    assert sink.received == []


@pytest.mark.parametrize(
    ("listed", "url", "fits"),
    [
        ("api.example.com", "https://api.example.com/x", True),
        ("API.example.com", "https://api.example.com/x", True),
        ("api.example.com", "https://api.example.com:8443/", False),
        ("api.example.com:8443", "https://api.example.com:8443/", True),
        ("api.example.com", "https://api.example.com.evil.example/", False),
        ("api.example.com", "https://evilapi.example.com/", False),
        ("*.example.com", "https://a.b.example.com/", True),
        ("*.example.com", "https://example.com/", False),
        ("*.example.com", "https://badexample.com/", False),
    ],
)
def test_how_hosts_are_listed(listed: str, url: str, *, fits: bool) -> None:
    assert module._is_named(OutboundRules().target_of(url), listed.lower()) is fits


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"url": "http://example.com/"},
        {"url": "https://127.0.0.1/"},
        {"url": "https://0x7f.1/"},
        {"url": "https://user:pass@example.com/"},
        {"url": "https://example.com/", "method": "CONNECT"},
        {"url": "https://example.com/", "headers": {"Host": "a"}},
        {"url": "https://example.com/", "headers": {"Transfer-Encoding": "chunked"}},
        {"url": "https://example.com/", "headers": {"Proxy-Authorization": "x"}},
        {"url": "https://example.com/", "headers": {"X-A": "1\r\nX-B: 2"}},
        {"url": "https://example.com/", "headers": {"X A": "1"}},
        {"url": "https://example.com/", "body": "a", "json": {}},
        {"url": "https://example.com/", "redirects": 3},
    ],
)
def test_what_is_not_acceptable(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpRequestParameters.model_validate(parameters)


@pytest.fixture
def outside() -> Iterator[Sink]:
    thread = SinkThread()
    yield thread.sink
    thread.close()


def test_over_the_wire(start_service: Callable[..., Service], outside: Sink) -> None:
    url = outside.tell("/weather", answers(200, body=b"sunny"))
    service = start_service(
        outbound_allowed_networks="127.0.0.0/8", outbound_plain_http="true", http_request_hosts=url[7:-8]
    )
    callers = Callers(service)
    try:
        alice = callers.make(Role.SUBMITTER)
        refused = alice.post(message("http_request", {"url": "http://10.0.0.1/"}))
        assert (refused.status_code, pointers(refused)) == (422, ["/body/task_specification/parameters/url"])
        done = details(alice.finished(alice.submit(message("http_request", {"url": url}))))
        assert (done["result"]["status"], done["result"]["body"]) == (200, "sunny")
        other = details(
            alice.finished(alice.submit(message("http_request", {"url": f"http://localhost:{outside.port}/"})))
        )
        assert (other["reason"], other["attempt"]) == ("execution_error", 1)
        assert "is not among those" in other["error"]["message"]
    finally:
        callers.close()
