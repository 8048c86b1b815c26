"""What handlers in children print, line by line in the service's log, bounded."""

import asyncio
import io
import logging
from contextlib import suppress
from typing import Any, cast

MAX_LINES = 1_000
MAX_BYTES = 262_144
"""What one attempt may print into the log; what comes after is read and dropped."""

MAX_LINE_BYTES = 4_096
PIPE_BYTES = 65_536
"""What a pipe holds at most (pipe(7))."""

PAUSE_S = 0.02
"""How long a child that prints more than that is not read. It then waits in its own write; nobody else does."""

logger = logging.getLogger("app.execution.output")


class OutputLog(asyncio.Protocol):
    """Reads one child's standard output and error, which share a pipe."""

    def __init__(self, pipe: io.FileIO) -> None:
        self._pipe = pipe
        self._transport: asyncio.ReadTransport | None = None
        self._partial = b""
        self._extra: dict[str, Any] = {}
        self._lines_left = MAX_LINES
        self._bytes_left = MAX_BYTES
        self._silent = False

    def begin(self, task_id: str, attempt: int, *, silent: bool = False) -> None:
        """What comes from now on belongs to this attempt; of a silent one it is read and dropped."""
        self._extra = {"task_id": task_id, "attempt": attempt}
        self._lines_left, self._bytes_left = MAX_LINES, MAX_BYTES
        self._silent = silent

    def finish(self) -> None:
        """The attempt is over and writes no more: what it has written is in the pipe, and belongs to it."""
        if self._transport is not None and not self._transport.is_closing():
            with suppress(OSError):
                self.data_received(self._pipe.read(PIPE_BYTES) or b"")
        self._flush()

    def close(self) -> None:
        """The child is gone. Its last words tell most where it crashed."""
        self.finish()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.ReadTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """Called by asyncio."""
        self._flush()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with whatever the child has written."""
        if self._lines_left <= 0 or self._bytes_left <= 0:
            self._pause()
            return
        self._bytes_left -= len(data)
        *lines, self._partial = (self._partial + data).split(b"\n", self._lines_left)
        for line in lines:
            self._log(line)
        if self._lines_left > 0 and len(self._partial) > MAX_LINE_BYTES:
            self._flush()
        if self._lines_left <= 0 or self._bytes_left <= 0:
            self._partial = b""
            logger.warning("The task prints more than the log takes; its further output is dropped", extra=self._extra)

    def _flush(self) -> None:
        partial, self._partial = self._partial, b""
        self._log(partial)

    def _log(self, line: bytes) -> None:
        if text := line[:MAX_LINE_BYTES].decode(errors="replace").rstrip():
            self._lines_left -= 1
            if not self._silent:
                logger.info("%s", text, extra=self._extra)

    def _pause(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
