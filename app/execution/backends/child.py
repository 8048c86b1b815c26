"""The program in which plain handlers run: `python -m app.execution.backends.child CHANNEL_FD GUARDIAN_PID`.

It imports the modules of task types once, then runs one attempt after another, as the service sends them. It
contains faults; it is no sandbox for hostile code, which can do whatever the user may do that it runs as.
"""

import contextlib
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import NoReturn

from app.execution.backends import kernel
from app.execution.backends.backend import Failed, Succeeded
from app.execution.backends.channel import Cancellation, Channel, ProgressSender
from app.execution.backends.confinement import Confinement, Meter, no_core_dumps, resting
from app.execution.backends.frames import Ended, Hello, Ready, Resting, Start, encode
from app.execution.backends.outcomes import parameters_of, raised, returned, trace_of
from app.execution.backends.surroundings import Surroundings
from app.task_types.context import TaskContext
from app.task_types.definition import TaskType
from app.task_types.registry import Registry

COLLECT_ABOVE_MB = 32
"""A growth of resident memory over one attempt that is worth a full garbage collection."""

logger = logging.getLogger("app.execution")


@dataclass(slots=True)
class Answer:
    """What became of a handler, and its traceback for the log where it raised."""

    outcome: Succeeded | Failed
    trace: str | None = None


class StandardErrorHandler(logging.Handler):
    """Logs to the standard error of the moment, since handlers may close or replace that stream."""

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - whatever stands there now; a log line must not fail a handler
            self.handleError(record)


class Child:
    """Runs attempts, until the service closes the channel."""

    def __init__(self, channel: Channel, hello: Hello) -> None:
        self._channel = channel
        self._max_result_bytes = hello.max_result_bytes
        self._registry = Registry()
        self._process = os.getpid()
        for module in hello.modules:
            self._import(module)
        for kind in self._registry:
            self._prepare(kind)
        self._surroundings = Surroundings()
        self._confinement = Confinement()
        # What is imported stays: a collection need not look at it again.
        gc.freeze()
        self._resting = resting()

    def serve(self) -> None:
        """Until the channel is closed."""
        self._channel.send(encode(Ready(resting=self._resting)))
        while (frame := self._channel.receive()) is not None:
            # Anything else is a Cancel that came too late.
            if isinstance(frame, Start):
                self._attempt(frame)

    def _import(self, module: str) -> None:
        # A module that cannot be imported fails the attempts that need it, and no others.
        try:
            self._registry.add_module(module)
        except BaseException:  # noqa: BLE001 - importing runs code of others, which may even exit
            traceback.print_exc()

    def _prepare(self, kind: TaskType) -> None:
        # As above: what it could not load is missing in the attempts of this kind, and in no others.
        try:
            if kind.prepare is not None:
                kind.prepare()
        except BaseException:  # noqa: BLE001 - as above
            traceback.print_exc()

    def _attempt(self, start: Start) -> None:
        meter = Meter(self._resting)
        progress = ProgressSender(self._channel)
        answer = self._answer(start, progress)
        if os.getpid() != self._process:
            # The handler forked, and this is the other process, which ran on into what is not its own.
            os._exit(0)
        progress.finish()
        clean = self._surroundings.restore() and threading.active_count() == 1
        used = meter.read()
        self._resting = _settled(self._resting, used.resting)
        ended = Ended(
            cpu_s=used.cpu_s, peak_memory_mb=used.peak_memory_mb, clean=clean, resting=self._resting, trace=answer.trace
        )
        match answer.outcome:
            case Succeeded(result_json=text):
                self._channel.send(encode(ended, text.encode()))
            case Failed() as failed:
                changes = {name: getattr(failed, name) for name in ("reason", "error", "permanent", "retry_after_s")}
                self._channel.send(encode(ended.model_copy(update=changes)))

    def _answer(self, start: Start, progress: ProgressSender) -> Answer:
        context = _context(start, progress, Cancellation(self._channel))
        try:
            try:
                self._confinement.apply(start.allocation.memory_mb, start.cpus)
                kind = self._find(start)
                result = kind.handler(parameters_of(kind, start.parameters), context)
            finally:
                # Before the result is written as JSON: Rust code aborts where Python would raise MemoryError.
                self._confinement.lift()
            return Answer(returned(result, self._max_result_bytes))
        except MemoryError as error:
            error.args = (f"out of memory: the task was granted {start.allocation.memory_mb} MiB",)
            return Answer(raised(error), trace_of(error))
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler fails its attempt and no more
            return Answer(raised(error), trace_of(error))

    def _find(self, start: Start) -> TaskType:
        kind = self._registry.get(start.name)
        if kind is None:
            self._registry.add_module(start.module)
            kind = self._registry.get(start.name)
        if kind is None:
            raise LookupError(f"the module {start.module!r} defines no task type {start.name!r} any more")
        return kind


def _context(start: Start, progress: ProgressSender, cancellation: Cancellation) -> TaskContext:
    return TaskContext(
        task_id=start.task_id,
        message_id=start.message_id,
        attempt=start.number,
        deadline=start.deadline,
        allocation=start.allocation,
        logger=logging.LoggerAdapter(logger, {"task_id": start.task_id, "attempt": start.number}),
        report=progress.report,
        cancellation=cancellation,
    )


def _settled(before: Resting, after: Resting) -> Resting:
    if after.rss_mb - before.rss_mb > COLLECT_ABOVE_MB:
        gc.collect()
        return resting()
    return after


def main() -> NoReturn:
    """The program: CHANNEL_FD GUARDIAN_PID."""
    kernel.signalled_when_parent_dies(signal.SIGKILL, int(sys.argv[2]))
    # Orphans of a running attempt stay below this process, where they are counted, measured and killed with it.
    kernel.adopt_orphans()
    kernel.no_new_privileges()
    no_core_dumps()
    with contextlib.suppress(OSError):  # a container may have taken the right away already, and that to change it
        kernel.give_up_prying()
    faulthandler.enable()
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    logging.basicConfig(
        level=logging.INFO, handlers=[StandardErrorHandler()], format="%(levelname)s %(name)s: %(message)s"
    )
    channel = Channel(connection)
    hello = channel.receive()
    if isinstance(hello, Hello):
        os.environ.clear()
        os.environ.update(hello.environment)
        with contextlib.suppress(ConnectionError):  # the service has closed the channel
            Child(channel, hello).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
