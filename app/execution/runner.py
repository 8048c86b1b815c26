"""execution_handler: one attempt, from the grant of its resources to what became of it.

    allocate, start -> run in a backend -> release -> decide -> complete | wait for another attempt | fail

each step one change in the journal, durable before the next one begins.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from app.clock import utc_now
from app.execution.backends.backend import Attempt, Backend, Outcome, Usage
from app.execution.holding import Holding, Recorder, Step
from app.execution.progress import ProgressPump
from app.execution.retry import Complete, Decision, GiveUp, HandBack, RetryAt, decide
from app.execution.sealing import UNREADABLE, open_content
from app.fault_points import reached
from app.protocol.reasons import Reason
from app.protocol.resources import resources_of
from app.protocol.states import State
from app.protocol.task import Task
from app.resources.request import Grant
from app.security.envelopes.contents import Contents
from app.security.envelopes.errors import ContentUnavailable
from app.storage.errors import Conflict, QuotaExceeded

logger = logging.getLogger("app.execution")

ObserveAttempt = Callable[[str, float], None]


class Runner:
    """Runs attempts. `released` is called once for each grant, as soon as nothing of the attempt runs any more.

    `discarded` hears of outcomes ("succeeded", "failed", "stopped", "nothing") that came after the lease was lost.
    `contents` opens what came encrypted; a node that takes no encrypted messages can do without.
    """

    def __init__(
        self,
        recorder: Recorder,
        backends: Mapping[str, Backend],
        *,
        node_id: str,
        released: Callable[[Holding], None],
        observe: ObserveAttempt,
        discarded: Callable[[str], None],
        contents: Contents | None = None,
    ) -> None:
        self._recorder = recorder
        self._backends = backends
        self._contents = contents
        self._node_id = node_id
        self._released = released
        self._observe = observe
        self._discarded = discarded

    async def run(self, holding: Holding, grant: Grant) -> None:
        """One attempt from its grant to its end. Writes nothing more once the lease is lost."""
        task, outcome = holding.task, None
        pump = ProgressPump(holding, self._recorder)
        try:
            try:
                await reached("runner.after_grant")
                if task.state is not State.EXECUTING:
                    await self._start(holding)
                await reached("runner.after_start")
                outcome = await self._execute(holding, grant, pump)
                await reached("runner.after_run")
            finally:
                self._released(holding)
            await pump.close()
            await reached("runner.before_record")
            await self._recorder.record(holding, ending(outcome))
            await reached("runner.after_record")
        except QuotaExceeded as refusal:
            # It has not started: whoever holds it gives it back.
            holding.held_back = refusal
        except Conflict:
            self._discard(task, outcome)

    def _discard(self, task: Task, outcome: Outcome | None) -> None:
        """Another node holds the task: what was done of it here counts for nothing, and is told to the operators.

        Nothing may be written to its history from here. There the node that took it over has said that this attempt
        was lost, and that whatever comes of it is discarded.
        """
        what = "nothing" if outcome is None else type(outcome).__name__.lower()
        self._discarded(what)
        logger.warning(
            "outcome discarded: the lease was lost",
            extra={"task_id": task.task_id, "attempt": task.attempt, "outcome": what},
        )

    async def _start(self, holding: Holding) -> None:
        if holding.task.state is State.WAITING:
            await self._recorder.record(
                holding,
                lambda task, now: task.request_resources(now),
                lambda task, now: task.allocate(now, self._node_id),
                lambda task, now: task.start(now),
            )
        else:
            await self._recorder.record(
                holding, lambda task, now: task.allocate(now, self._node_id), lambda task, now: task.start(now)
            )

    async def _execute(self, holding: Holding, grant: Grant, pump: ProgressPump) -> Outcome:
        if holding.task.encryption_json is None:
            return await self._attempt(holding, grant, holding.parameters, pump)
        assert self._contents is not None, "no encrypted message was ever taken"
        try:
            sealed = await open_content(self._contents, holding.task)
        except ContentUnavailable as error:
            logger.error("%s", error, extra={"task_id": holding.task.task_id})  # noqa: TRY400 - the sentence says it all
            return UNREADABLE
        pump.seal_by(sealed.details)
        return sealed.outcome(await self._attempt(holding, grant, sealed.parameters, pump))

    async def _attempt(self, holding: Holding, grant: Grant, parameters: dict[str, Any], pump: ProgressPump) -> Outcome:
        task, kind = holding.task, holding.kind
        begin = asyncio.get_running_loop().time()
        limit_s, limit_reason = time_limit(task, utc_now())
        attempt = Attempt(
            task_id=task.task_id,
            message_id=task.message_id,
            number=task.attempt,
            kind=kind,
            parameters=parameters,
            allocation=resources_of(grant.amounts),
            # By this machine's clock, which its handler reads.
            deadline=datetime.now(UTC) + timedelta(seconds=limit_s),
            on_progress=pump.report,
            stop=holding.stop,
            gpu_ids=tuple(str(device) for device in grant.gpu_devices),
            confidential=task.encryption_json is not None,
        )
        timer = asyncio.get_running_loop().call_later(limit_s, holding.stop.set, limit_reason)
        try:
            outcome = await self._backends[kind.runs_in].run(attempt)
        finally:
            timer.cancel()
        self._observe(kind.name, asyncio.get_running_loop().time() - begin)
        return outcome


def ending(outcome: Outcome) -> Step:
    """The step that ends an attempt. It decides when it is its turn: a cancel may have been recorded meanwhile."""

    def end(task: Task, now: datetime) -> None:
        # The jitter spreads retries; nothing secret hangs on it.
        _apply(decide(task, outcome, now, random.random()), task, now, outcome.used)  # noqa: S311 - jitter, nothing secret hangs on it

    return end


def _apply(decision: Decision, task: Task, now: datetime, used: Usage) -> None:
    match decision:
        case Complete(result_json=result_json):
            task.complete(now, result_json, used)
        case RetryAt(run_at=run_at, reason=reason, error=error):
            task.retry_later(now, run_at, reason, error, used)
        case GiveUp(reason=reason, error=error):
            task.fail(now, reason, error, used)
        case HandBack():
            task.hand_back(now)
        case _:
            assert_never(decision)


def time_limit(task: Task, now: datetime) -> tuple[float, Reason]:
    """Seconds until the attempt has to stop, and why it will: its timeout, or the task's deadline."""
    if task.deadline is not None:
        left_s = (task.deadline - now).total_seconds()
        if left_s < task.timeout_s:
            return max(0.0, left_s), Reason.DEADLINE_EXCEEDED
    return task.timeout_s, Reason.TIMED_OUT
