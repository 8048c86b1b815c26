"""Against real sockets; a made-up resolver stands only where names become addresses."""

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from app.outbound.client import MAX_ANSWER_BYTES, OutboundClient
from app.outbound.errors import Cause, ForbiddenTarget, NoAnswer
from app.outbound.rules import OutboundRules
from tests.outbound.certificates import make_certificate
from tests.support.sink import (
    Behaviour,
    Sink,
    answers,
    drips,
    drips_its_body,
    floods,
    floods_headers,
    hangs,
    resets,
)

INNER = OutboundRules((ip_network("127.0.0.0/8"),), plain_http=True)


class Names:
    """A resolver with answers of its own: each look-up takes the next, the last one stays."""

    def __init__(self, *turns: list[str]) -> None:
        self.turns = list(turns)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> list[str]:  # noqa: ARG002 - a resolver gets both
        self.asked.append(host)
        return self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]

    def close(self) -> None:
        pass


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink() as started:
        yield started


async def get(url: str, rules: OutboundRules = INNER, names: Names | None = None, timeout_s: float = 5) -> int:
    async with OutboundClient(rules, resolver=names) as client:
        return (await client.send("GET", url, [], timeout_s=timeout_s)).status


async def test_a_request_arrives_as_it_was_made(sink: Sink) -> None:
    sink.tell("/hook?a=1", answers(201, "X-Answer: yes", body=b"thanks"))
    async with OutboundClient(INNER) as client:
        answer = await client.send("POST", f"{sink.url}/hook?a=1", [(b"x-own", b"1")], b'{"a":1}')
    assert (answer.status, answer.body, answer.whole, answer.header(b"x-answer")) == (201, b"thanks", True, b"yes")
    (received,) = sink.received
    assert (received.method, received.path, received.body) == ("POST", "/hook?a=1", b'{"a":1}')
    assert received.headers == {
        "host": f"127.0.0.1:{sink.port}",
        "connection": "close",
        "content-length": "7",
        "x-own": "1",
    }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(sink: Sink, status: int) -> None:
    sink.tell("/", answers(status, f"Location: {sink.url}/elsewhere"))
    assert await get(sink.url + "/") == status
    assert [received.path for received in sink.received] == ["/"]


async def test_proxies_of_the_environment_count_for_nothing(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await get(sink.url + "/") == 204


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "fe80::1%lo"]
)
async def test_a_name_that_stands_for_a_forbidden_address_is_not_called(address: str) -> None:
    with pytest.raises(ForbiddenTarget, match="private, local or reserved"):
        await get("https://hooks.example/", OutboundRules(), Names([address]))


async def test_one_forbidden_address_among_public_ones_is_one_too_many(sink: Sink) -> None:
    names = Names(["127.0.0.1", "10.0.0.1"])
    with pytest.raises(ForbiddenTarget):
        await get(f"http://mixed.example:{sink.port}/", names=names)
    assert sink.received == []


async def test_a_name_is_resolved_once_for_a_request_and_again_for_the_next(sink: Sink) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    url = f"http://rebinding.example:{sink.port}/"
    assert await get(url, names=names) == 204
    assert names.asked == ["rebinding.example"]
    with pytest.raises(ForbiddenTarget):
        await get(url, names=names)
    assert len(sink.received) == 1
    assert sink.received[0].headers["host"] == f"rebinding.example:{sink.port}"


async def test_the_loopback_is_closed_unless_it_is_allowed(sink: Sink) -> None:
    with pytest.raises(ForbiddenTarget):
        await get(f"http://name.example:{sink.port}/", OutboundRules(plain_http=True), Names(["127.0.0.1"]))
    assert sink.received == []


async def test_an_address_that_takes_no_connection_is_passed_over(sink: Sink) -> None:
    # Nobody listens there: the loopback network is large, and the sink is at its first address only.
    assert await get(f"http://two.example:{sink.port}/", names=Names(["127.77.0.1", "127.0.0.1"])) == 204


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [(hangs, Cause.TIMEOUT), (drips, Cause.TIMEOUT), (resets, Cause.BROKEN), (floods_headers, Cause.BROKEN)],
)
async def test_what_is_no_answer(sink: Sink, behaviour: Behaviour, cause: Cause) -> None:
    sink.tell("/", behaviour)
    begin = time.monotonic()
    with pytest.raises(NoAnswer) as caught:
        await get(sink.url + "/", timeout_s=1)
    assert caught.value.cause is cause
    assert time.monotonic() - begin < 10


async def test_nobody_there_and_no_such_name() -> None:
    with pytest.raises(NoAnswer) as caught:
        await get("http://127.77.0.1:9/", OutboundRules((ip_network("127.0.0.0/8"),), plain_http=True, ports=((9, 9),)))
    assert caught.value.cause is Cause.UNREACHABLE
    with pytest.raises(NoAnswer) as caught:
        await get("http://nowhere.invalid/")
    assert caught.value.cause is Cause.UNRESOLVED


async def test_a_body_is_cut_off_at_its_limit(sink: Sink) -> None:
    sink.tell("/", floods)
    async with OutboundClient(INNER) as client:
        answer = await client.send("GET", sink.url + "/", [])
        assert (len(answer.body), answer.whole) == (MAX_ANSWER_BYTES, False)
        # Who wants no body waits for none.
        sink.tell("/", drips_its_body)
        answer = await client.send("GET", sink.url + "/", [], max_bytes=0)
        assert (answer.status, answer.body) == (200, b"")


async def test_content_is_not_decoded(sink: Sink) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    sink.tell("/", answers(200, "Content-Encoding: gzip", body=bomb))
    async with OutboundClient(INNER) as client:
        answer = await client.send("GET", sink.url + "/", [])
    assert answer.body == bomb[:MAX_ANSWER_BYTES]


async def test_a_header_cannot_smuggle_another(sink: Sink) -> None:
    async with OutboundClient(INNER) as client:
        with pytest.raises(NoAnswer):
            await client.send("GET", sink.url + "/", [(b"x-a", b"1\r\nX-Injected: 1")])
    assert sink.received == []


async def test_the_certificate_must_be_the_name_s(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "hooks.example")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate.chain, certificate.key)
    asked: list[str] = []
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with Sink(trust=server) as sink:
        trust = ssl.create_default_context(cafile=str(certificate.chain))
        rules = OutboundRules((ip_network("127.0.0.0/8"),))
        async with OutboundClient(rules, resolver=Names(["127.0.0.1"]), trust=trust) as client:
            answer = await client.send("POST", f"https://hooks.example:{sink.port}/", [], b"{}")
            assert answer.status == 204
            assert asked == ["hooks.example"]
            assert sink.received[0].headers["host"] == f"hooks.example:{sink.port}"
            with pytest.raises(NoAnswer) as caught:
                await client.send("POST", f"https://other.example:{sink.port}/", [], b"{}")
            assert caught.value.cause is Cause.TLS
        # Nobody vouches for this certificate among the usual authorities.
        async with OutboundClient(rules, resolver=Names(["127.0.0.1"])) as client:
            with pytest.raises(NoAnswer) as caught:
                await client.send("POST", f"https://hooks.example:{sink.port}/", [], b"{}")
            assert caught.value.cause is Cause.TLS
    assert len(sink.received) == 1


async def test_a_name_server_that_never_answers_costs_no_more_than_the_time_allowed() -> None:
    class Silent(Names):
        async def resolve(self, host: str, port: int) -> list[str]:  # noqa: ARG002 - a resolver gets both
            await asyncio.get_running_loop().create_future()
            return []

    with pytest.raises(NoAnswer) as caught:
        await get("http://slow.example/", names=Silent([]), timeout_s=0.2)
    assert caught.value.cause is Cause.TIMEOUT
