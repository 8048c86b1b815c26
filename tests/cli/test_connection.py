"""The edge, by raw sockets at the real server: what is malformed, too large, too slow or too much ends at once."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Self

import psutil
import pytest

from app.cli.connection import BODY_S, HEAD_S, MAX_HEAD_BYTES, MAX_HEADERS
from tests.support.postgres import Databases
from tests.support.service import Service
from tests.support.waiting import wait_until

GET = b"GET /livez HTTP/1.1\r\nHost: here\r\n"
PATIENCE_S = 60.0
KEEP_ALIVE_S = HEAD_S + 5

Connect = Callable[[], "Client"]


class Client:
    """One TCP connection."""

    def __init__(self, service: Service) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S)
        self.read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> "Client":
        # Turned away, it cannot say all.
        with suppress(OSError):
            self.socket.sendall(data)
        return self

    def until_closed(self) -> bytes:
        """Everything that comes before the server closes its side."""
        found = b""
        try:
            while part := self.socket.recv(65_536):
                found += part
        except ConnectionResetError:
            pass
        return found

    def answer(self) -> bytes:
        """One answer, to the end of its body."""
        while b"\r\n\r\n" not in self.read:
            self._more()
        head, _, _ = self.read.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        end = len(head) + 4 + length
        while len(self.read) < end:
            self._more()
        answer, self.read = self.read[:end], self.read[end:]
        return answer

    def _more(self) -> None:
        part = self.socket.recv(65_536)
        assert part, f"closed after {self.read!r}"
        self.read += part


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Service]:
    """One service for all tests of this file."""
    url = databases.create(migrated=True)
    made = Service(
        tmp_path_factory.mktemp("edge"),
        url,
        {"rate_limit": "off", "max_connections": "300", "keep_alive_s": f"{KEEP_ALIVE_S:g}"},
    )
    try:
        yield made.start()
    finally:
        made.close()
        databases.drop(url)


@pytest.fixture
def connect(edge: Service) -> Iterator[Connect]:
    made: list[Client] = []

    def build() -> Client:
        made.append(Client(edge))
        return made[-1]

    yield build
    for client in made:
        client.socket.close()


def problem_of(answer: bytes) -> tuple[int, Any]:
    """Status and problem of an answer, after which the connection was closed."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower(), answer
    assert b"application/problem+json" in head, answer
    problem = json.loads(body)
    status = int(head.split()[1])
    assert problem["status"] == status
    return status, problem["type"].rsplit(":", 1)[1]


POST = b"POST /v1/tasks HTTP/1.1\r\nHost: h\r\n"
MALFORMED = {
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "the same length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "a length beyond 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "chunks under another coding": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "bare line feeds": b"GET /livez HTTP/1.1\nHost: h\n\n",
    "one bare line feed": b"GET /livez HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    "a bare carriage return": b"GET /livez HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
    "a folded header": b"GET /livez HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    "a space before the colon": b"GET /livez HTTP/1.1\r\nHost : h\r\n\r\n",
    "a header without a name": b"GET /livez HTTP/1.1\r\n: h\r\n\r\n",
    "NUL in a header": b"GET /livez HTTP/1.1\r\nHost: h\x00\r\n\r\n",
    "another version": b"GET /livez HTTP/9.9\r\nHost: h\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method that is none": b"G\xc3\x89T /livez HTTP/1.1\r\nHost: h\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a chunk's size that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
    "chunks of another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a tunnel": b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
    "an address that is none": b"GET http://[::1 HTTP/1.1\r\nHost: h\r\n\r\n",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_is_refused_and_the_connection_closed(connect: Connect, request_: bytes) -> None:
    assert problem_of(connect().send(request_).until_closed()) == (400, "malformed-http")


def test_nothing_is_smuggled_behind_a_malformed_request(connect: Connect) -> None:
    smuggled = MALFORMED["length and chunks"] + GET + b"\r\n"
    assert problem_of(connect().send(smuggled).until_closed())[0] == 400


WISHES = {
    "Java": b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: h2c\r\n",
    "a browser": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
}


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES.keys())
def test_a_wish_for_another_protocol_changes_nothing(edge: Service, connect: Connect, wish: bytes) -> None:
    """The body is the request's, in whatever packets it comes, and never another request."""
    body = GET + b"\r\n"
    head = submitting(edge) + wish
    with_length, in_chunks = (
        head + b"Content-Length: %d\r\n\r\n" % len(body),
        head + b"Transfer-Encoding: chunked\r\n\r\n",
    )
    client = connect()
    for _ in range(2):
        assert b"not-json" in client.send(with_length + body).answer()
    client.send(with_length).send(body)
    assert b"not-json" in client.answer()
    assert b"not-json" in client.send(in_chunks + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)).answer()
    client.send((GET + wish + b"\r\n") * 5 + GET + b"Connection: close\r\n\r\n")
    assert client.until_closed().count(b" 200 OK") == 6, "and nothing but the answers to what was asked"


def test_a_head_with_a_wish_is_bounded_too(connect: Connect) -> None:
    head = GET + WISHES["Java"] + b"X: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n"
    assert problem_of(connect().send(head).until_closed()) == (431, "head-too-large")


TOO_LARGE = {
    "a long value": GET + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    "a long name": GET + b"a" * 200_000 + b": x\r\n\r\n",
    "a long value without an end": GET + b"X: " + b"a" * 2_000_000,
    "many headers": GET + b"X: y\r\n" * 2000 + b"\r\n",
    "one header too many": GET + b"X: y\r\n" * MAX_HEADERS + b"\r\n",
    "a long address": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "many headers without an end": GET + b"X: y\r\n" * 200_000,
}


@pytest.mark.parametrize("request_", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_a_head_that_is_too_large(connect: Connect, request_: bytes) -> None:
    answer = connect().send(request_).until_closed()
    assert problem_of(answer) == (431, "head-too-large")


@pytest.mark.parametrize("behind", [b"0\r\nX: ", b"1;", b"0\r\n" + b"X: y\r\n" * 100_000])
def test_what_brings_a_body_no_further(edge: Service, connect: Connect, behind: bytes) -> None:
    endless = submitting(edge) + b"Transfer-Encoding: chunked\r\n\r\n" + behind + b"a" * 2_000_000
    assert problem_of(connect().send(endless).until_closed()) == (431, "head-too-large")
    without_token = POST + b"Transfer-Encoding: chunked\r\n\r\n" + behind + b"a" * 2_000_000
    assert connect().send(without_token).until_closed().count(b"HTTP/1.1 401") == 1, "it has had its answer"


def test_a_head_that_is_just_small_enough(connect: Connect) -> None:
    most = GET + b"X: y\r\n" * (MAX_HEADERS - 1) + b"\r\n"
    assert b" 200 OK" in connect().send(most).answer()
    long = GET + b"X: " + b"a" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n"
    client = connect()
    for _ in range(3):
        assert b" 200 OK" in client.send(long).answer(), "counted for each request, not for the connection"


def submitting(edge: Service) -> bytes:
    """The head of a submission, as far as its length."""
    return POST + f"Authorization: Bearer {edge.token()}\r\nContent-Type: application/json\r\n".encode()


def test_a_body_may_be_larger_than_a_head(connect: Connect, edge: Service) -> None:
    body = b" " * 500_000
    head = submitting(edge)
    whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    client = connect()
    for _ in range(2):
        assert b"not-json" in client.send(whole).answer()
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n"
    assert b"not-json" in client.send(chunked).answer()


def test_requests_in_line_are_answered_in_order_and_are_bounded(connect: Connect) -> None:
    client = connect().send((GET + b"\r\n") * 20)
    assert [b" 200 OK" in client.answer() for _ in range(20)] == [True] * 20
    flood = connect().send((GET + b"\r\n") * 5000)
    assert flood.until_closed().count(b" 200 OK") < 5000


def test_a_client_that_is_slow_is_not_waited_for(edge: Service, connect: Connect) -> None:
    """A byte a second, at the head, at the body, and nothing at all: side by side, since each takes its whole time.

    Where no request has begun nothing is answered: it would be read as the answer to one that begins just then.
    """
    ended: dict[str, tuple[float, bytes]] = {}

    def drip(name: str, first: bytes, each: bytes) -> None:
        client = connect().send(first)
        client.socket.settimeout(1)
        begun, found = time.monotonic(), b""
        while time.monotonic() < begun + BODY_S + PATIENCE_S:
            try:
                part = client.socket.recv(65_536)
            except TimeoutError:
                client.send(each)
                continue
            except OSError:
                part = b""
            found += part
            if not part:
                ended[name] = time.monotonic() - begun, found
                return

    slow = {
        "head": (GET + b"X: ", b"a"),
        "lines": (b"", b"\r\n"),
        "silent": (b"", b""),
        "body": (submitting(edge) + b"Content-Length: 1000\r\n\r\n", b" "),
        "late head": (GET + b"\r\n" + GET, b"a"),
        "idle": (GET + b"\r\n", b""),
    }
    threads = [threading.Thread(target=drip, args=(name, *parts)) for name, parts in slow.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, allowed_s in {"head": HEAD_S, "late head": HEAD_S, "body": BODY_S}.items():
        took_s, found = ended[name]
        assert took_s < allowed_s + 30, name
        assert problem_of(found[found.rindex(b"HTTP/1.1") :]) == (408, "too-slow"), name
    for name, allowed_s in {"silent": HEAD_S, "lines": HEAD_S, "idle": KEEP_ALIVE_S}.items():
        took_s, found = ended[name]
        assert took_s < allowed_s + 30, name
        assert found.count(b"HTTP/1.1") == (name == "idle"), name
    assert ended["body"][0] > HEAD_S, "a body has more time than a head"
    assert ended["idle"][0] > HEAD_S, "a connection outlives a pause between two requests"


def test_there_are_so_many_connections_and_no_more(edge: Service, connect: Connect) -> None:
    held = [connect() for _ in range(300)]
    turned_away = connect().send(GET + b"\r\n")
    assert problem_of(turned_away.until_closed()) == (503, "too-many-connections")
    assert b" 200 OK" in held[0].send(GET + b"\r\n").answer(), "those before are served"
    for client in held:
        client.socket.close()
    wait_until(
        lambda: b" 200 OK" in connect().send(GET + b"Connection: close\r\n\r\n").until_closed(), "room again", 30
    )


def test_connections_between_two_requests_make_room_the_longest_first(connect: Connect) -> None:
    held = [connect() for _ in range(300)]
    for client in held:
        assert b" 200 OK" in client.send(GET + b"\r\n").answer()
    further = [connect() for _ in range(3)]
    assert all(b" 200 OK" in client.send(GET + b"\r\n").answer() for client in further)
    assert [client.until_closed() for client in held[:3]] == [b""] * 3
    assert b" 200 OK" in held[3].send(GET + b"\r\n").answer()


def test_ten_thousand_connections_that_say_nothing_leave_nothing_behind(edge: Service) -> None:
    process = psutil.Process(edge.process_id)
    before = process.memory_info().rss
    for _ in range(10_000):
        with Client(edge) as client:
            client.socket.setblocking(False)
            with suppress(BlockingIOError, ConnectionResetError):
                client.socket.recv(10)
    wait_until(lambda: answers(edge), "it serves", 60, passing=(OSError, AssertionError))
    assert process.memory_info().rss - before < 64 * 2**20


def answers(edge: Service) -> bool:
    with Client(edge) as client:
        return b" 200 OK" in client.send(GET + b"\r\n").answer()


def test_floods_of_what_is_refused_leave_nothing_behind(edge: Service) -> None:
    wait_until(lambda: answers(edge), "it serves", 60, passing=(OSError, AssertionError))
    process = psutil.Process(edge.process_id)
    kinds = [*TOO_LARGE.values(), *MALFORMED.values()]

    def flood() -> None:
        for request_ in kinds:
            with Client(edge) as client:
                client.send(request_).until_closed()

    flood()
    before = process.memory_info().rss
    for _ in range(5):
        flood()
    assert process.memory_info().rss - before < 32 * 2**20
    assert answers(edge)


def test_a_client_that_goes_in_the_middle_of_its_body_is_no_defect(edge: Service, connect: Connect) -> None:
    connect().send(submitting(edge) + b"Content-Length: 10\r\n\r\n{").socket.close()
    assert answers(edge)
    assert [line[-3500:] for line in edge.log.splitlines() if "unforeseen error" in line or "Traceback" in line] == []
    assert "Traceback" not in edge.log
