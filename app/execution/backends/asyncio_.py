"""Runs async handlers as tasks of the service's own event loop.

The leanest backend, for trusted handlers that mostly wait: nothing is limited and nothing is measured, and a
handler that blocks the thread blocks the service. All that can be done about one that does not heed its
cancellation is to abandon it, with an error in the log.
"""

import asyncio
import logging
from threading import get_ident
from typing import Any

from app.execution.backends.backend import Attempt, Failed, Outcome, Stopped, Succeeded
from app.execution.backends.outcomes import log_failure, parameters_of, plain_details, raised, returned, trace_of
from app.protocol.reasons import Reason
from app.task_types.context import TaskContext

logger = logging.getLogger("app.execution")
_silent = logging.getLogger("app.execution.silent")
_silent.setLevel(logging.CRITICAL + 1)
"""What a confidential attempt's handler logs to: nothing comes of it."""


class AsyncioBackend:
    """See `Backend`. Handlers have `cancel_grace_s` seconds to end once they are cancelled, whatever the reason."""

    def __init__(self, cancel_grace_s: float, max_result_bytes: int) -> None:
        self._cancel_grace_s = cancel_grace_s
        self._max_result_bytes = max_result_bytes
        self._running: dict[int, _Running] = {}

    async def start(self) -> None:
        """There is nothing to make ready."""

    async def run(self, attempt: Attempt) -> Outcome:
        """One attempt from its start to its outcome."""
        if attempt.stop.reason is not None:
            return Stopped(attempt.stop.reason, {})
        running = _Running(attempt, self._cancel_grace_s, self._max_result_bytes)
        self._running[id(running)] = running
        try:
            return await running.outcome
        except asyncio.CancelledError:
            await running.cancel()
            raise
        finally:
            attempt.stop.ignore()
            del self._running[id(running)]

    async def close(self) -> None:
        """Stops what still runs; those attempts end as EXECUTOR_LOST."""
        outcomes = [running.outcome for running in self._running.values()]
        for running in list(self._running.values()):
            running.attempt.stop.set(Reason.EXECUTOR_LOST)
        if outcomes:
            await asyncio.wait(outcomes)


class _Running:
    """One attempt under way.

    A handler has a task of its own rather than being awaited by `run`, so that it can be abandoned.
    """

    __slots__ = (
        "_context",
        "_grace",
        "_grace_s",
        "_loop",
        "_max_result_bytes",
        "_task",
        "_thread",
        "attempt",
        "outcome",
    )

    def __init__(self, attempt: Attempt, grace_s: float, max_result_bytes: int) -> None:
        self.attempt = attempt
        self._grace_s = grace_s
        self._max_result_bytes = max_result_bytes
        self._thread = get_ident()
        self._loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[Outcome] = self._loop.create_future()
        self._grace: asyncio.TimerHandle | None = None
        self._context = TaskContext(
            task_id=attempt.task_id,
            message_id=attempt.message_id,
            attempt=attempt.number,
            deadline=attempt.deadline,
            allocation=attempt.allocation,
            logger=logging.LoggerAdapter(
                _silent if attempt.confidential else logger, {"task_id": attempt.task_id, "attempt": attempt.number}
            ),
            report=self._report,
        )
        self._task = self._loop.create_task(self._call())
        attempt.stop.listen(self._stop)

    async def cancel(self) -> None:
        """Ends the handler because `run` itself was cancelled."""
        self._context.cancellation.set()
        self._task.cancel()
        _, alive = await asyncio.wait({self._task}, timeout=self._grace_s)
        if alive:
            self._log_abandoned()

    async def _call(self) -> None:
        attempt = self.attempt
        ended: Succeeded | Failed
        try:
            parameters = parameters_of(attempt.kind, attempt.parameters)
            ended = returned(await attempt.kind.handler(parameters, self._context), self._max_result_bytes)
        except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt would end the event loop
            ended = raised(error)
            if attempt.stop.reason is None:
                log_failure(attempt, ended.error["kind"], trace_of(error))
        self._settle(ended)

    def _settle(self, ended: Outcome) -> None:
        if self._grace is not None:
            self._grace.cancel()
        if not self.outcome.done():
            reason = self.attempt.stop.reason
            self.outcome.set_result(ended if reason is None else Stopped(reason, {}))
        # The context knows this object and this object the context: untied, an attempt goes without the collector.
        self._context.report = _unheard

    def _stop(self, reason: Reason) -> None:
        self._context.cancellation.set()
        self._task.cancel()
        # A task that is cancelled before its first step never enters _call.
        self._task.add_done_callback(lambda _: self._settle(Stopped(reason, {})))
        self._grace = self._loop.call_later(self._grace_s, self._abandon, reason)

    def _abandon(self, reason: Reason) -> None:
        self._log_abandoned()
        self._settle(Stopped(reason, {}))

    def _log_abandoned(self) -> None:
        # The loop holds its tasks weakly: without this one the abandoned handler could vanish half-way.
        _abandoned.add(self._task)
        self._task.add_done_callback(_abandoned.discard)
        attempt = self.attempt
        logger.error(
            "A %s task did not end within %g s of being cancelled: its handler is abandoned and still runs",
            attempt.kind.name, self._grace_s, extra={"task_id": attempt.task_id, "attempt": attempt.number},
        )  # fmt: skip

    def _report(self, fraction: float, details: dict[str, Any]) -> None:
        plain = plain_details(details)
        if get_ident() == self._thread:
            self._deliver(fraction, plain)
        else:
            self._loop.call_soon_threadsafe(self._deliver, fraction, plain)

    def _deliver(self, fraction: float, details: dict[str, Any]) -> None:
        if not self.outcome.done():
            self.attempt.on_progress(fraction, details)


def _unheard(fraction: float, details: dict[str, Any]) -> None:
    """Progress of an attempt that is over, from a handler that was abandoned."""


_abandoned: set[asyncio.Task[None]] = set()
