"""task-executor serve: run the service until it is told to stop."""

import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Annotated

import typer
import uvicorn

from app.cli.ending import Ending
from app.cli.failures import CommandFailed, ExitCode
from app.cli.output import say
from app.cli.process_limits import connections_allowed, protect_memory
from app.cli.startup import EXPECTED, StartGuard, listen, sentence
from app.cli.welcome import welcome
from app.settings import Settings, SettingsError, variable_of
from app.telemetry.logging import configure, flush, shutdown

CLOSE_CONNECTIONS_S = 5
"""How long requests in flight may take at shutdown; what holds an answer back longer (a long poll) is cut off."""

logger = logging.getLogger("app.cli.serve")


class _Told(SystemExit):
    """SIGTERM or SIGINT came: the wish, not an accident."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (TASK_EXECUTOR_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (TASK_EXECUTOR_PORT).")] = None,
) -> None:
    """Run the service. Its settings are environment variables: docs/configuration.md."""
    for name, value in (("host", host), ("port", port)):
        if value is not None:
            os.environ[variable_of(name)] = str(value)
    try:
        settings = Settings()
    except SettingsError as error:
        raise CommandFailed(str(error)) from None
    _stop_on_signals()
    protect_memory()
    with listen(settings.server.host, settings.server.port) as server_socket:
        form = settings.server.log_format
        configure(settings.server.log_level, json=None if form == "auto" else form == "json")
        try:
            _run(settings, server_socket)
        except _Told:
            logger.info("the service has stopped")
        finally:
            shutdown()
    # Nothing is left to tidy: the interpreter's own end, a tenth of a second, is skipped.
    sys.stdout.flush()
    os._exit(ExitCode.OK)


def _stop_on_signals() -> None:
    """SIGTERM and SIGINT end the program in the ordinary way, with exit code 0 and everything closed.

    While it serves, uvicorn has handlers of its own; when it has shut down it raises the signal again for ours.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Told(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _run(settings: Settings, server_socket: socket.socket) -> None:
    """Serves on the socket until a signal comes. Raises CommandFailed where the service cannot start."""
    gc.disable()
    # Loaded here: this command's help does without the framework.
    from app.main import create_app  # noqa: PLC0415 - see above

    try:
        application = create_app(settings)
    except EXPECTED as error:
        raise CommandFailed(sentence(error)) from None
    guard = StartGuard(application)
    ending = Ending(application.state, settings.server.shutdown_notice_s)
    server = _Server(_config(guard, settings), lambda: say(welcome(_url(server_socket), settings)), ending)
    try:
        server.run(sockets=[server_socket])
    except SystemExit:
        if guard.failure is not None:
            raise CommandFailed(guard.failure) from None
        raise


def _config(guard: StartGuard, settings: Settings) -> uvicorn.Config:
    # Loaded here: as in _run.
    from app.cli.connection import EdgeProtocol, sweep  # noqa: PLC0415 - see above

    EdgeProtocol.max_connections = connections_allowed(settings.server.max_connections)
    trusted_proxies = settings.security.trusted_proxies
    return uvicorn.Config(
        guard,
        interface="asgi3",
        loop="uvloop",
        http=EdgeProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=[str(network) for network in trusted_proxies],
        timeout_keep_alive=settings.server.keep_alive_s,
        timeout_graceful_shutdown=CLOSE_CONNECTIONS_S,
        timeout_notify=1,
        callback_notify=sweep,
    )


class _Server(uvicorn.Server):
    """Calls `started` once it answers. Told to stop, it goes on until the ending is over."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], ending: Ending) -> None:
        super().__init__(config)
        self._tell_started = started
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # What was loaded and built will never be garbage: the collector is spared it, for good.
            gc.freeze()
            gc.enable()
            self._tell_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._ending.announce()
        super().handle_exit(sig, frame)
        if self.force_exit:
            # From a thread: here, in the middle of anything, the log may be held by what was interrupted.
            threading.Thread(target=_leave_at_once, name="leave", daemon=True).start()

    async def on_tick(self, counter: int) -> bool:
        if not await super().on_tick(counter):
            return False
        if (farewell := (b"connection", b"close")) not in self.config.encoded_headers:
            # Clients leave their connections with the next answer: none is closed under a request then.
            self.config.encoded_headers.append(farewell)
        return await self._ending.over()


def _leave_at_once() -> None:
    """The end for who presses Ctrl-C again. It is that of a kill, after which everything is found as it should be."""
    logger.warning("told again to stop: nothing more is waited for; what ran here is rescued when its lease runs out")
    flush()
    os._exit(ExitCode.INTERRUPTED)


def _url(server_socket: socket.socket) -> str:
    """Where a browser on this machine finds the service."""
    host, port = server_socket.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not listened on
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
