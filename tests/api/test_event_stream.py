"""The answer that carries events, at a real server: who does not read is dropped, and leaves nothing behind."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.api.event_stream import EventStream, event_text
from app.cli.connection import EdgeProtocol
from app.delivery.following import Mark
from app.protocol.history import Item, MessageName, Party
from app.protocol.states import State
from tests.support.waiting import eventually

BIG = '{"text":"' + "x" * 100_000 + '"}'


def item(sequence: int, message: str) -> Item:
    names = (MessageName.PROGRESS_UPDATE, Party.EXECUTOR, Party.SUBMITTER)
    return Item(sequence, *names, datetime(2026, 1, 31, tzinfo=UTC), State.EXECUTING, message, "0" * 64, "1" * 64)


class Endless:
    """An application that streams without end; counts the events read and the streams that are over."""

    def __init__(self) -> None:
        self.read = 0
        self.closed = 0
        self.ended = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await EventStream(self._events(), ended=self._end, stall_s=0.3)(scope, receive, send)

    async def _events(self) -> AsyncGenerator[Item | Mark, None]:
        try:
            while True:
                self.read += 1
                # As a real one does, which asks the database.
                turn = asyncio.get_running_loop().create_future()
                turn.get_loop().call_soon(turn.set_result, None)
                await turn
                yield item(self.read, BIG)
        finally:
            self.closed += 1

    def _end(self) -> None:
        self.ended += 1


@contextlib.asynccontextmanager
async def served(application: Endless) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(application, http=EdgeProtocol, ws="none", lifespan="off", log_config=None)
        )
        serving = asyncio.ensure_future(server.serve([listening]))
        try:
            yield server, listening.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


def connect(port: int) -> socket.socket:
    """A client that asks and has little room for the answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    return client


async def test_a_reader_that_does_not_read_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    application = Endless()
    async with served(application) as (server, port):
        with connect(port):
            await eventually(lambda: _true(application.ended == 1), "dropped")
            await eventually(lambda: _true(not server.server_state.connections), "its connection is closed")
            # What lay in the buffers of both ends, and not a whole history.
            assert application.read < 200
        assert application.closed == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_client_that_goes_ends_its_stream() -> None:
    application = Endless()
    async with served(application) as (server, port):
        client = connect(port)
        await eventually(lambda: _true(application.read > 1), "begun")
        client.close()
        await eventually(lambda: _true(application.ended == application.closed == 1), "ended")
        await eventually(lambda: _true(not server.server_state.connections), "its connection is closed")


async def _true(value: bool) -> bool:
    return value


def test_the_text_of_an_event() -> None:
    text = event_text(item(7, '{"a":\r\n1,\r"b":\n\n2}')).decode()
    head, first, *rest = text.split("\ndata: ")
    assert head == "id: 7\nevent: ProgressUpdate"
    assert first.startswith('{"sequence":7,"name":"ProgressUpdate"')
    assert first.endswith('"message":{"a":')
    assert rest[:2] == ["1,", '"b":']
    assert rest[2] == ""
    assert rest[3].startswith("2},")
    assert text.endswith("}\n\n")
    assert "\r" not in text
