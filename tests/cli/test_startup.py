"""What stops a start, as one sentence."""

import asyncio
import socket
from collections.abc import Awaitable

import pytest

from app.cli.failures import CommandFailed
from app.cli.startup import Message, Receive, Send, StartGuard, listen, sentence
from app.execution.backends.child_user import ChildUserError
from app.storage.errors import StorageUnavailable
from app.storage.guard import UnfitDatabase


class Lifespan:
    """An application as Starlette makes them: a failed start is told as a traceback and raised again."""

    def __init__(self, startup: Exception | None = None, shutdown: Exception | None = None) -> None:
        self.startup, self.shutdown = startup, shutdown

    async def __call__(self, _scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        if self.startup is not None:
            await send({"type": "lifespan.startup.failed", "message": "Traceback ..."})
            raise self.startup
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self.shutdown is not None:
            raise self.shutdown
        await send({"type": "lifespan.shutdown.complete"})


async def live(guard: StartGuard) -> list[str]:
    """The lifespan as a server leads it: what the application said, without the types' common part."""
    said: list[str] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        said.append(message["type"].removeprefix("lifespan.") + message.get("message", ""))

    await guard({"type": "lifespan"}, receive, send)
    return said


async def test_a_start_that_goes_well_is_not_touched() -> None:
    guard = StartGuard(Lifespan())
    assert await live(guard) == ["startup.complete", "shutdown.complete"]
    assert guard.failure is None


async def test_what_an_operator_can_mend_is_a_sentence_and_no_traceback() -> None:
    guard = StartGuard(Lifespan(startup=UnfitDatabase("the database has fsync = off")))
    assert await live(guard) == ["startup.failed"]
    assert guard.failure == "the database has fsync = off"


async def test_a_user_as_whom_no_task_can_run_is_named_with_its_variable() -> None:
    guard = StartGuard(Lifespan(startup=ChildUserError("this machine has no user 'x'")))
    assert await live(guard) == ["startup.failed"]
    assert guard.failure == "TASK_EXECUTOR_CHILD_USER: this machine has no user 'x'."


async def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        await live(StartGuard(Lifespan(startup=ZeroDivisionError())))


async def test_a_failure_at_the_end_is_no_failed_start() -> None:
    guard = StartGuard(Lifespan(shutdown=StorageUnavailable("gone")))
    with pytest.raises(StorageUnavailable):
        await live(guard)
    assert guard.failure is None


async def test_requests_pass_by() -> None:
    called: list[str] = []

    def application(scope: Message, _receive: Receive, _send: Send) -> Awaitable[None]:
        called.append(scope["type"])
        return asyncio.sleep(0)

    async def receive() -> Message:
        return {}

    async def send(_message: Message) -> None:
        return None

    await StartGuard(application)({"type": "http"}, receive, send)
    assert called == ["http"]


def test_a_database_that_is_away_names_the_setting() -> None:
    assert "DATABASE_URL" in sentence(StorageUnavailable("connection refused"))


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(CommandFailed, match="is taken"):
        listen("127.0.0.1", first.getsockname()[1])


def test_who_listens_is_reached_at_once() -> None:
    with listen("127.0.0.1", 0) as server, socket.create_connection(server.getsockname()):
        connection, address = server.accept()
        connection.close()
    assert address[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine(host: str) -> None:
    with pytest.raises(CommandFailed, match="no address of this machine"):
        listen(host, 0)
