"""The least HTTP/1.1 client that can load a server: ready-made bytes out, status and body in, keep-alive.

A client that builds requests and parses headers costs as much as the server it is to measure. This one looks for the
status, for Content-Length and for the end of the head; every answer of the measured endpoints has both.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

BLANK_LINE = b"\r\n\r\n"
LENGTH = b"content-length: "


class Answer(NamedTuple):
    """What came back. `head` is everything before the body, in the server's own spelling."""

    status: int
    head: bytes
    body: bytes


class Unexpected(Exception):
    """The server answered something that a benchmark cannot go on with, or hung up."""


Answered = Callable[[Answer], None]


class Connection(asyncio.Protocol):
    """One connection with one request at a time. `send` calls back; `request` is the same to be awaited."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answered: Answered | None = None
        self._failed: Callable[[Exception], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's classes, though they do the same.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._failed is not None:
            self._failed(Unexpected(f"the server hung up in the middle of a request ({exc})"))

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        end = received.find(BLANK_LINE)
        if end < 0:
            return
        head = received[:end]
        body = received[end + len(BLANK_LINE) :]
        if len(body) < _length(head):
            return
        self._received = b""
        answered, self._answered, self._failed = self._answered, None, None
        assert answered is not None, "an answer to no request"
        answered(Answer(int(head[9:12]), head, body))

    def send(self, request: bytes, answered: Answered, failed: Callable[[Exception], None]) -> None:
        """Sends a request; one of the two is called when it is over."""
        assert self._transport is not None
        if self._transport.is_closing():
            failed(Unexpected("the server has closed the connection"))
            return
        self._answered, self._failed = answered, failed
        self._transport.write(request)

    async def request(self, request: bytes) -> Answer:
        """The answer to a request. Raises Unexpected where the server hangs up."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.send(request, future.set_result, future.set_exception)
        return await future

    def close(self) -> None:
        """Hangs up."""
        if self._transport is not None:
            self._transport.close()


async def connect(port: int, count: int) -> list[Connection]:
    """So many connections to a port of this machine."""
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(Connection, "127.0.0.1", port) for _ in range(count)]
    return [connection for _, connection in pairs]


def _length(head: bytes) -> int:
    at = head.lower().find(LENGTH)
    if at < 0:
        return 0
    end = head.find(b"\r", at)
    return int(head[at + len(LENGTH) : end if end >= 0 else None])
