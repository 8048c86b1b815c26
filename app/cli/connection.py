"""The server's HTTP protocol with what a server at the edge needs besides: bounds on what a connection may take.

uvicorn takes heads of any size and connections in any number, and waits for slow ones for ever. Here each has an end,
and whoever is turned away gets a problem document. The clock is looked at by `sweep` once a second for all connections
together: a timer for each request would cost more than all the rest of this module.

A wish for another protocol is not heard (RFC 9110, section 7.8). Java's HttpClient has one in front of every request by
plain HTTP; to the parser below uvicorn it is the end of HTTP, and a body behind it would be lost, or read as the next
request, which is how one client's request gets into another's connection behind a proxy.

An answer can also drop its connection (app/api/event_stream.py): closing one politely waits for everything that was
sent to be taken, which a client that never reads never does.
"""

import time
from http import HTTPStatus
from typing import Any, ClassVar, cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.event_stream import ABORT
from app.api.problems import MEDIA_TYPE, Problem

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_PIPELINED = 32
"""Requests that wait behind the one that is being answered: a thousand of them fit into one packet."""

HEAD_S = 10.0
"""From the connection, or a further request's first byte, to the end of the request's head."""

BODY_S = 30.0
"""From the end of the head to the end of the body."""

LINGER_S = 2.0
"""How long a client that was turned away may go on sending."""

UNREAD_S = 60.0
"""How long an answer may lie there that is not taken."""

MALFORMED = Problem(400, "malformed-http", "This is not HTTP/1.1 as RFC 9112 has it.")
TOO_LARGE = Problem(
    431, "head-too-large", f"A request has at most {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes before its body."
)
TOO_SLOW = Problem(408, "too-slow", f"A request has {HEAD_S:g} seconds to its body and {BODY_S:g} to its end.")
TOO_MANY = Problem(503, "too-many-connections", "All connections are taken.", headers={"Retry-After": "1"})


class Turned(Exception):
    """The request is turned away; the parser passes it on."""


class EdgeProtocol(HttpToolsProtocol):
    """One connection. `max_connections` is set once, at the start."""

    max_connections = 5000
    all: ClassVar[set[Any]] = set()
    """Those that are open, in the whole process."""
    idle: ClassVar[dict[Any, None]] = {}
    """Those of them that are between two requests, the one that is so for longest first."""

    def connection_made(self, transport: Any) -> None:
        """Somebody has connected."""
        super().connection_made(transport)
        self.all.add(self)
        self._ends_at: float | None = time.monotonic() + HEAD_S
        self._unread_since: float | None = None
        self._begun = False
        self._silent = 0
        self._refusal = MALFORMED
        self._turned_away = False
        self._wishes_upgrade = False
        if len(self.all) > self.max_connections and not self._make_room():
            self._turn_away(TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self.all.discard(self)
        self.idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come. Those that bring a request no further (an endless header, or chunk) are counted."""
        if self._turned_away or self.transport.is_closing():
            return
        self._silent += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._silent > MAX_HEAD_BYTES and self.parser is not None:
            self._turn_away(TOO_LARGE)

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError:
                self._turn_away(self._refusal)
            except httptools.HttpParserUpgrade as upgrade:
                # It tells where the other protocol would begin.
                data = self._head_without_wish() + data[upgrade.args[0] :]
                continue
            return

    def _head_without_wish(self) -> bytes:
        """The head that has just come, to be read once more by a parser that expects another request."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%s: %s\r\n" % line for line in self.headers if line[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn's own: what stands behind a last request is no reason to leave it without its answer.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, b"".join(lines))

    def on_message_begin(self) -> None:
        """A request begins; `abort` is offered to the application as an ASGI extension."""
        super().on_message_begin()
        self._begun = True
        self.idle.pop(self, None)
        if self.cycle is not None and self.cycle.response_complete:
            self._ends_at = time.monotonic() + HEAD_S
        scope = cast("dict[str, object]", self.scope)
        scope["extensions"] = {ABORT: {"abort": self.transport.abort}}

    def on_headers_complete(self) -> None:
        """The head is there. Raises Turned."""
        if len(self.headers) > MAX_HEADERS or (self._silent > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES):
            self._refusal = TOO_LARGE
            raise Turned
        if len(self.pipeline) >= MAX_PIPELINED or not self._is_well_formed():
            raise Turned
        self._wishes_upgrade = self.parser.should_upgrade()
        if self._wishes_upgrade:
            return
        self._silent = 0
        self._ends_at = time.monotonic() + BODY_S
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body has come."""
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is there. Where the answer was given before, the next request's time runs already."""
        if self._wishes_upgrade:
            return
        self._begun = False
        self._silent = 0
        if not self.cycle.response_complete:
            self._ends_at = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer has been handed over: the next request's time begins, where a part of it has come already."""
        if not self.pipeline:
            self._ends_at = time.monotonic() + HEAD_S if self._begun else None
            if not self._begun:
                self.idle[self] = None
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        self._unread_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._unread_since = None
        super().resume_writing()

    def look(self, now: float) -> None:
        """Ends the connection where its time is over at `now`.

        Without a word where no request has begun: a client that begins one just then would take it for its answer.
        """
        unread = self._unread_since is not None and now - self._unread_since > UNREAD_S
        late = self._ends_at is not None and now > self._ends_at
        if unread or (late and self._turned_away):
            self.transport.abort()
        elif late and self._begun:
            self._turn_away(TOO_SLOW)
        elif late:
            self.transport.close()

    def _make_room(self) -> bool:
        """Ends a connection on which nothing is asked, if there is one: otherwise few clients could take all places."""
        for longest in self.idle:
            del self.idle[longest]
            longest.transport.close()
            return True
        return False

    def _is_well_formed(self) -> bool:
        """Says for whom it is, once, and asks for no tunnel; and the body has no coding but chunks.

        RFC 9112, sections 3.2 and 6.1; RFC 9110, section 9.3.6.
        """
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            return False
        if b"transfer-encoding" in names:
            codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
            return codings == [b"chunked"]
        return self.parser.get_method() != b"CONNECT"

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _turn_away(self, problem: Problem) -> None:
        """Says why, unless an answer is under way already, and ends the connection.

        What the client still sends is thrown away for a moment: one whose connection is closed while it sends finds a
        broken pipe instead of its answer.
        """
        if self._turned_away or self.transport.is_closing():
            return
        self._turned_away = True
        self._ends_at = time.monotonic() + LINGER_S
        if self.pipeline:
            # Answers to earlier requests are under way: nothing can be said between them.
            self.pipeline.clear()
            self.transport.close()
            return
        cycle = self.cycle
        # The request that is under way may have its answer already, or a part of it.
        if cycle is None or not cycle.response_started or (cycle.response_complete and not cycle.more_body):
            self.transport.write(_answer(problem))
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write_eof()


async def sweep() -> None:
    """Ends the connections whose time is over. To be called every second or so."""
    now = time.monotonic()
    for connection in list(EdgeProtocol.all):
        connection.look(now)


def _answer(problem: Problem) -> bytes:
    body = orjson.dumps(problem.as_dict("urn:task-executor:connection"))
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        **problem.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[HTTPStatus(problem.status)] + lines.encode() + b"\r\n" + body
