"""The service's end of one child: sends it attempts, hears their progress, and says how each one ended."""

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import cast

from pydantic import ValidationError

from app.execution.backends.backend import Attempt, Outcome, Stopped
from app.execution.backends.environment import Shape, importing, shaped
from app.execution.backends.frames import (
    HEADER_BYTES,
    Cancel,
    Ended,
    FrameError,
    FrameReader,
    Hello,
    Progress,
    Ready,
    Resting,
    Start,
    encode,
    from_child,
)
from app.execution.backends.nursery import Exit, Nursery, Process
from app.execution.backends.output import OutputLog
from app.execution.backends.verdicts import answered, died
from app.protocol.reasons import Reason

WATCH_AFTER_S = 0.05
"""Shorter attempts are not watched: telling the guardian twice would cost more than they do."""

CHANNEL_GRACE_S = 1.0
"""A dying child closes its channel a moment before its end is reported; one that lives on has closed it itself."""


class ChildProcess(asyncio.Protocol):
    """One child. It runs one attempt at a time, and is fit for another while `usable`."""

    def __init__(self, process: Process, shape: Shape, output: OutputLog, max_result_bytes: int) -> None:
        self.shape = shape
        self.usable = True
        self.attempts = 0
        self.first_resting: Resting | None = None
        self.resting: Resting | None = None
        self.process = process
        self._output = output
        self._max_result_bytes = max_result_bytes
        self._reader = FrameReader(max_result_bytes + HEADER_BYTES)
        self._transport: asyncio.Transport | None = None
        self._attempt: Attempt | None = None
        self._answer: asyncio.Future[tuple[Ended, bytes] | None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._violation: str | None = None
        process.exited.add_done_callback(self._exited)

    @classmethod
    async def start(
        cls, nursery: Nursery, shape: Shape, environment: Mapping[str, str], modules: list[str], max_result_bytes: int
    ) -> "ChildProcess":
        """A new child. It is not waited for: attempts can be sent at once, and run when its modules are imported."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        output_reader, output_writer = os.pipe()
        seen = shaped(environment, shape)
        process = nursery.start(theirs.detach(), output_writer, importing(seen))
        pipe = os.fdopen(output_reader, "rb", buffering=0)
        output = OutputLog(pipe)
        child = cls(process, shape, output, max_result_bytes)
        try:
            await loop.connect_read_pipe(lambda: output, pipe)
            await loop.create_unix_connection(lambda: child, sock=ours)
        except BaseException:
            process.kill()
            pipe.close()
            ours.close()
            raise
        hello = Hello(modules=modules, environment=seen, max_result_bytes=max_result_bytes)
        child._write(encode(hello))
        return child

    async def run(self, attempt: Attempt, cpus: list[int] | None, cancel_grace_s: float) -> Outcome:
        """One attempt. Where the child is not `usable` afterwards, it is gone, with all that it started."""
        loop = asyncio.get_running_loop()
        self.attempts += 1
        self._attempt, self._answer = attempt, loop.create_future()
        self._output.begin(attempt.task_id, attempt.number, silent=attempt.confidential)
        if self.process.exited.done():
            self._answer.set_result(None)
        self._write(encode(_start(attempt, cpus)))
        stopping = _Stopping(self, attempt, self._answer, cancel_grace_s)
        self._watch = loop.call_later(WATCH_AFTER_S, self._start_watch)
        try:
            answer = await self._answer
            self._watch.cancel()
            peak_mb = await self.process.unwatch()
            if answer is None or not answer[0].clean or stopping.killed:
                await self.end()
        except asyncio.CancelledError:
            await self.end()
            raise
        finally:
            self._watch.cancel()
            stopping.over()
            self._output.finish()
            self._attempt = self._answer = None
        if answer is None:
            outcome: Outcome = died(
                self.process.exited.result(), self.resting, attempt.allocation.memory_mb, self._violation
            )
        else:
            outcome = answered(attempt, *answer, self._max_result_bytes, peak_mb)
        return outcome if stopping.reason is None else Stopped(stopping.reason, outcome.used)

    async def end(self) -> Exit:
        """Kills the child and waits until it is gone."""
        self.usable = False
        self.process.kill()
        return await asyncio.shield(self.process.exited)

    def cancel(self) -> None:
        """Tells the handler to stop."""
        self._write(encode(Cancel()))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """Called by asyncio."""
        self.usable = False
        if not self.process.exited.done():
            asyncio.get_running_loop().call_later(CHANNEL_GRACE_S, self.process.kill)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with what the child has sent."""
        try:
            for header, body in self._reader.feed(data):
                if self.usable:
                    self._receive(header, body)
        except (FrameError, ValidationError) as error:
            self.usable = False
            self._violation = str(error).splitlines()[0]
            self.process.kill()

    def _receive(self, header: bytes, body: bytes) -> None:
        if len(header) > HEADER_BYTES:
            raise FrameError(f"a header of {len(header)} bytes")
        match from_child.validate_json(header):
            case Progress(fraction=fraction, details=details):
                if self._attempt is not None and self._answer is not None and not self._answer.done():
                    self._attempt.on_progress(fraction, details)
            case Ready(resting=resting):
                self.first_resting = self.resting = resting
                if self._watch is not None:
                    # The attempt waited for the imports: only now is there a base to count its memory from.
                    self._watch.cancel()
                    self._start_watch()
            case Ended() as ended:
                if self._answer is None or self._answer.done():
                    raise FrameError("the end of an attempt that does not run")
                self.resting = ended.resting
                self._answer.set_result((ended, body))

    def _write(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def _start_watch(self) -> None:
        if self.resting is not None and self._attempt is not None and self._attempt.allocation.memory_mb:
            self.process.watch(self._attempt.allocation.memory_mb, self.resting.private_mb)

    def _exited(self, _: object) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.close()
        self._output.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)


class _Stopping:
    """Carries out `attempt.stop` on a child until the attempt is over."""

    def __init__(
        self,
        child: ChildProcess,
        attempt: Attempt,
        answer: asyncio.Future[tuple[Ended, bytes] | None],
        cancel_grace_s: float,
    ) -> None:
        self.reason: Reason | None = None
        self.killed = False
        self._child = child
        self._attempt = attempt
        self._answer = answer
        self._cancel_grace_s = cancel_grace_s
        self._grace: asyncio.TimerHandle | None = None
        attempt.stop.listen(self._stop)

    def over(self) -> None:
        """The attempt has ended."""
        self._attempt.stop.ignore()
        if self._grace is not None:
            self._grace.cancel()

    def _stop(self, reason: Reason) -> None:
        if self._answer.done():
            return
        self.reason = reason
        if reason is Reason.CANCELLED and self._cancel_grace_s > 0:
            self._child.cancel()
            self._grace = asyncio.get_running_loop().call_later(self._cancel_grace_s, self._kill)
        else:
            self._kill()

    def _kill(self) -> None:
        self.killed = True
        self._child.process.kill()


def _start(attempt: Attempt, cpus: list[int] | None) -> Start:
    return Start(
        name=attempt.kind.name,
        module=attempt.kind.module,
        parameters=attempt.parameters,
        task_id=attempt.task_id,
        message_id=attempt.message_id,
        number=attempt.number,
        deadline=attempt.deadline,
        allocation=attempt.allocation,
        cpus=cpus,
    )
