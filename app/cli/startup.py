"""What can stop the service from starting, each as one sentence: no traceback for what an operator can mend."""

import errno
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from app.cli.failures import CommandFailed
from app.execution.backends.child_user import ChildUserError
from app.resources.discovery import CapacityError
from app.security.errors import KeyConfigurationError
from app.settings import SettingsError, variable_of
from app.storage.embedded import EmbeddedPostgresError
from app.storage.errors import StorageUnavailable
from app.storage.guard import UnfitDatabase
from app.storage.migrations import SchemaMismatch
from app.task_types.registry import TaskTypeError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
"""An ASGI application (the ASGI specification, 3.0), in as many words as are needed here."""

EXPECTED = (
    CapacityError,
    ChildUserError,
    EmbeddedPostgresError,
    KeyConfigurationError,
    SchemaMismatch,
    SettingsError,
    StorageUnavailable,
    TaskTypeError,
    UnfitDatabase,
)
BACKLOG = 2048


class StartGuard:
    """The application, with its start watched: `failure` is the sentence for what stopped it, or None."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.failure: str | None = None

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """Requests pass by untouched, without so much as a coroutine of their own."""
        if scope["type"] != "lifespan":
            return self._application(scope, receive, send)
        return self._watch(scope, receive, send)

    async def _watch(self, scope: Message, receive: Receive, send: Send) -> None:
        """The lifespan. The framework tells of a failed start by its traceback, which is left out here.

        Any error that is not expected is let through: the server logs its traceback, which is what is needed then.
        """
        started = False

        async def screen(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "lifespan.startup.complete"
            if message["type"] != "lifespan.startup.failed":
                await send(message)

        try:
            await self._application(scope, receive, screen)
        except EXPECTED as error:
            if started:
                raise
            self.failure = sentence(error)
            await send({"type": "lifespan.startup.failed", "message": ""})


def sentence(error: Exception) -> str:
    """What is wrong, for the operator."""
    if isinstance(error, StorageUnavailable):
        return f"The database cannot be reached: {error}. Check DATABASE_URL; `task-executor doctor` looks closer."
    if isinstance(error, CapacityError):
        return f"{variable_of('capacity')}: {error}"
    if isinstance(error, ChildUserError):
        return f"{variable_of('child_user')}: {error}."
    return str(error)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that nobody can take the port between here and the server's start.

    Raises CommandFailed with one sentence.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CommandFailed(f"TASK_EXECUTOR_HOST {host!r} is no address of this machine: {error.strerror}") from None
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise CommandFailed(_cannot_listen(host, port, error)) from None
    return server


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} on {host} is taken by another program (or a service that runs already): "
                "stop it, or set TASK_EXECUTOR_PORT to another."
            )
        case errno.EACCES:
            return f"Port {port} needs more rights than this user has: set TASK_EXECUTOR_PORT to one above 1023."
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine: set TASK_EXECUTOR_HOST to one of its own, or to 0.0.0.0."
        case _:
            return f"{host} port {port} cannot be listened on: {error.strerror}"
