"""A small real HTTP server that behaves as it is told, well or badly, and remembers what it was sent."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from tests.support.listening import stop_listening
from tests.support.loop_thread import LoopThread


@dataclass(frozen=True)
class Received:
    """One request, whole; `at` on the monotonic clock, header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answers(status: int, *headers: str, body: bytes = b"") -> Behaviour:
    """An ordinary answer."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return behave


async def hangs(writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await _until_closed(writer, b"")


async def resets(writer: asyncio.StreamWriter) -> None:
    """Breaks the connection instead of an answer."""
    writer.transport.abort()


async def drips(writer: asyncio.StreamWriter) -> None:
    """Sends its headers for ever, byte by byte."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    await _until_closed(writer, b"a")


async def drips_its_body(writer: asyncio.StreamWriter) -> None:
    """Answers at once with a body that never ends, byte by byte."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    await _until_closed(writer, b"a")


async def floods(writer: asyncio.StreamWriter) -> None:
    """Answers at once with a body of a gigabyte."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    await _pour(writer, b"x" * 65536)


async def floods_headers(writer: asyncio.StreamWriter) -> None:
    """Answers with headers of a gigabyte."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await _pour(writer, b"X-Flood: " + b"x" * 1000 + b"\r\n")


async def _pour(writer: asyncio.StreamWriter, part: bytes) -> None:
    for _ in range(1_073_741_824 // len(part)):
        writer.write(part)
        await writer.drain()


async def _until_closed(writer: asyncio.StreamWriter, part: bytes) -> None:
    while not writer.transport.is_closing():
        writer.write(part)
        await asyncio.sleep(0.05)


@dataclass
class Sink:
    """See the module's docstring. Paths that were told nothing answer 204.

    `tell(path, a, b)`: the first request is met with a, every further one with b.
    """

    trust: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    received: list[Received] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._told: dict[str, list[Behaviour]] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        """Without a path."""
        return f"{'http' if self.trust is None else 'https'}://{self.host}:{self.port}"

    def tell(self, path: str, *behaviours: Behaviour) -> str:
        """What requests of this path are met with; returns the URL."""
        self._told[path] = list(behaviours)
        return self.url + path

    def at(self, path: str) -> list[Received]:
        """What came to one path, in order."""
        return [each for each in list(self.received) if each.path == path]

    async def start(self) -> Self:
        """Listens in the running loop."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self.trust)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Ends every connection."""
        await stop_listening(self._server)
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        # One that was closed waits until somebody takes what it still has to write; one that is broken off lets go of
        # its socket in the next turn.
        for writer in self._writers:
            writer.transport.abort()
        for _ in range(2):
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._writers.append(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                received = await _read(reader)
                self.received.append(received)
                told = self._told.get(received.path, [answers(204)])
                await (told.pop(0) if len(told) > 1 else told[0])(writer)
        finally:
            self._connections.discard(task)
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    pairs = [line.partition(":") for line in head[1:] if line]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body, time.monotonic())


class SinkThread:
    """A sink in a thread of its own, for tests without a loop."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._thread = LoopThread()
        self.sink = self._thread.run(Sink(host=host).start())

    def close(self) -> None:
        """Ends it."""
        self._thread.run(self.sink.stop())
        self._thread.close()
