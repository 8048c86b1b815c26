"""What keeps leases honest: heartbeats for one's own, rescue of those whose holder is gone, deadlines, time-outs.

Each of these is one small action; Runtime repeats them. Time-outs of leases are judged by the database's clock,
time-outs of requests for resources by the event loop's.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from app.clock import utc_now
from app.execution.dispatcher import Dispatcher
from app.execution.holding import Holding, Recorder
from app.execution.retry import GiveUp, RetryAt, after_executor_lost, stop_error
from app.fault_points import reached
from app.protocol.backoff import backoff_s
from app.protocol.reasons import Reason
from app.protocol.states import QUEUED, State
from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.storage.batching import Batcher
from app.storage.claim import Leases
from app.storage.errors import Conflict, StorageUnavailable
from app.storage.journal import Journal

logger = logging.getLogger("app.execution")

BATCH = 200


class Heartbeat:
    """Extends the leases of what this node holds, and hears of lost ones and of what other nodes left word for."""

    def __init__(self, leases: Leases, dispatcher: Dispatcher) -> None:
        self._leases = leases
        self._dispatcher = dispatcher
        self._heard: Batcher[str, None] = Batcher(self._look_at, BATCH)

    async def beat(self) -> None:
        """One heartbeat. Raises StorageUnavailable."""
        for task_id in [task_id for task_id, holding in self._dispatcher.holdings.items() if holding.lost]:
            # Lost by a change that was refused: what had not started is not waited for any more.
            self._dispatcher.lost(task_id)
        await self._keep(list(self._dispatcher.holdings))

    def hear(self, task_ids: Iterable[str]) -> None:
        """Another node may have left word for these: what is held here of them does not wait for the next heartbeat."""
        for task_id in task_ids:
            if task_id in self._dispatcher.holdings:
                self._heard.submit(task_id)

    async def _look_at(self, task_ids: list[str]) -> list[Exception | None]:
        await self._keep(task_ids)
        return [None] * len(task_ids)

    async def _keep(self, task_ids: Iterable[str]) -> None:
        """Extends the leases of those of the tasks that are held, and does what others want of them."""
        holdings = self._dispatcher.holdings
        before = {task_id: holdings[task_id] for task_id in task_ids if task_id in holdings}
        before = {task_id: holding for task_id, holding in before.items() if not holding.lost}
        if not before:
            return
        # Before the statement, wherever the time goes: the database counts the lease from a later moment.
        begin = asyncio.get_running_loop().time()
        held = await self._leases.extend(list(before))
        await reached("heartbeat.after_extend")
        for task_id, holding in before.items():
            if task_id in held.task_ids:
                holding.kept_at = begin
            # Those that ended while the statement ran are no longer held by anyone.
            if task_id not in held.task_ids and self._dispatcher.holdings.get(task_id) is holding:
                await self._check_lost(holding)
        for task_id, by in held.cancels.items():
            wanted = self._dispatcher.holdings.get(task_id)
            if wanted is not None and wanted.task.cancel_requested_at is None:
                await self._cancel(wanted, by)
        for task_id, sequence in held.acknowledgements.items():
            await self._acknowledge(task_id, sequence)

    async def stop_expired(self) -> None:
        """Stops attempts whose lease has run out while the database was away from here: they may run elsewhere by now.

        Where nobody has taken them they are handed back, which does not count.
        """
        before = asyncio.get_running_loop().time() - self._leases.lease_s
        for holding in self._dispatcher.holdings.values():
            if holding.attempt is not None and holding.kept_at < before and holding.stop.reason is None:
                logger.warning("stopped, for its lease has run out", extra={"task_id": holding.task.task_id})
                holding.stop.set(Reason.EXECUTOR_LOST)

    async def _acknowledge(self, task_id: str, sequence: int) -> None:
        try:
            await self._dispatcher.acknowledge(task_id, sequence)
        except Conflict:
            logger.info("an acknowledgement is left to whoever looks next", extra={"task_id": task_id})

    async def _cancel(self, holding: Holding, by: str) -> None:
        try:
            await self._dispatcher.cancel(holding, by)
        except Conflict:
            logger.info("a cancel came too late", extra={"task_id": holding.task.task_id})

    async def _check_lost(self, holding: Holding) -> None:
        # A change of this very task may have been under way: an ending one takes the lease with it.
        async with holding.turn:
            if holding.task.lease_owner is None:
                return
        self._dispatcher.lost(holding.task.task_id)
        logger.warning("lease lost", extra={"task_id": holding.task.task_id})


class Rescuer:
    """Takes over tasks whose holder has let its lease run out, and ends those whose deadline passed in the queue."""

    def __init__(
        self, leases: Leases, journal: Journal, dispatcher: Dispatcher, *, rescued: Callable[[int], None]
    ) -> None:
        self._leases = leases
        self._journal = journal
        self._dispatcher = dispatcher
        self._rescued = rescued
        self._found_away = False

    async def recover_own(self) -> None:
        """At start, where no other process of this node can live: what the last one held is taken over at once."""
        await self._leases.give_back_own()
        while tasks := await self._leases.take_own(BATCH):
            await self._settle(tasks)

    async def rescue(self) -> None:
        """One round of both. Raises StorageUnavailable.

        The first round after an outage is left out: leases have run out because nobody could extend them, and those
        who live do so now.
        """
        if self._found_away:
            await self._leases.take_expired(0)
            self._found_away = False
            return
        try:
            await self._look()
        except StorageUnavailable:
            self._found_away = True
            raise

    async def _look(self) -> None:
        while tasks := await self._leases.take_expired(BATCH, list(self._dispatcher.holdings)):
            await self._settle(tasks)
        while tasks := await self._leases.take_overdue(BATCH):
            await self._end_overdue(tasks)

    async def _settle(self, tasks: list[Task]) -> None:
        await reached("rescue.after_take")
        self._rescued(len(tasks))
        started = [task for task in tasks if task.state is State.EXECUTING]
        for task in started:
            self._step_after_loss(task, utc_now())
        await _commit_each(self._journal, started)
        await reached("rescue.after_settle")
        await self._dispatcher.adopt([task for task in tasks if task.state in QUEUED and task not in started])
        if started:
            self._dispatcher.look()

    @staticmethod
    def _step_after_loss(task: Task, now: datetime) -> None:
        decision = after_executor_lost(task, now)
        match decision:
            case RetryAt(run_at=run_at, reason=reason, error=error):
                task.retry_later(now, run_at, reason, error, {})
            case GiveUp(reason=reason, error=error):
                task.fail(now, reason, error)
        logger.warning("rescued from a lost executor", extra={"task_id": task.task_id, "attempt": task.attempt})

    async def _end_overdue(self, tasks: list[Task]) -> None:
        now = utc_now()
        for task in tasks:
            task.fail(now, Reason.DEADLINE_EXCEEDED, stop_error(task, Reason.DEADLINE_EXCEEDED))
        await _commit_each(self._journal, tasks)


async def _commit_each(journal: Journal, tasks: list[Task]) -> None:
    """All in one batch. One that was taken over meanwhile by yet another node is that one's concern."""
    for future in [journal.commit(task.change()) for task in tasks]:
        try:
            await future
        except Conflict:
            continue


@dataclass(frozen=True, slots=True)
class AllocationRules:
    """The protocol's "resource_unavailable: allocation_timeout, retry_with_backoff"; times in seconds.

    `when_busy` "queue": only a request beyond the whole capacity is unavailable. "count": so is one that is not
    granted in time because others hold the resources (the letter of the protocol).
    """

    timeout_s: float
    max_attempts: int
    backoff_initial_s: float
    backoff_max_s: float
    when_busy: Literal["queue", "count"]


class AllocationTimeouts:
    """Ends requests for resources that were not granted in time, and tasks whose deadline passes while they wait."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        manager: ResourceManager,
        recorder: Recorder,
        rules: AllocationRules,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._dispatcher = dispatcher
        self._manager = manager
        self._recorder = recorder
        self._rules = rules
        self._clock = clock

    async def check(self) -> None:
        """One look at everything that waits on this node."""
        now, clock = utc_now(), self._clock()
        waiting = [holding for holding in self._dispatcher.holdings.values() if holding.attempt is None]
        # All are let go before the first commit: nobody else takes a step with any of them meanwhile.
        endings = [ending for holding in waiting if (ending := self._ending(holding, now, clock)) is not None]
        await asyncio.gather(*endings)

    def _ending(self, holding: Holding, now: datetime, clock: float) -> Awaitable[None] | None:
        if holding.attempt is not None:
            # Granted just now, in the place of one that was let go.
            return None
        deadline = holding.task.deadline
        if deadline is not None and deadline <= now:
            self._dispatcher.let_go(holding)
            return self._end_overdue(holding)
        if clock - holding.requested_at >= self._rules.timeout_s and self._is_unavailable(holding.task):
            waiting = self._manager.waiting(holding.task.task_id, clock) or {"reason": "insufficient"}
            self._dispatcher.let_go(holding)
            return self._end_request(holding, waiting)
        return None

    def _is_unavailable(self, task: Task) -> bool:
        return self._rules.when_busy == "count" or self._manager.blocked_by_capacity(task.requested)

    async def _end_overdue(self, holding: Holding) -> None:
        await self._record(
            holding,
            lambda task, now: task.fail(now, Reason.DEADLINE_EXCEEDED, stop_error(task, Reason.DEADLINE_EXCEEDED)),
        )

    async def _end_request(self, holding: Holding, waiting: dict[str, Any]) -> None:
        attempts = holding.task.allocation_attempts + 1
        # The jitter spreads retries; nothing secret hangs on it.
        wait_s = backoff_s(attempts, self._rules.backoff_initial_s, self._rules.backoff_max_s, random.random())  # noqa: S311 - jitter, nothing secret hangs on it

        def unavailable(task: Task, now: datetime) -> None:
            if task.state is State.WAITING:
                task.request_resources(now)
            task.resources_unavailable(now, waiting, now + timedelta(seconds=wait_s))
            if attempts >= self._rules.max_attempts:
                task.fail(now, Reason.RESOURCE_UNAVAILABLE, _unavailable_error(attempts, self._rules.timeout_s))

        await self._record(holding, unavailable)
        if holding.task.run_at is not None:
            self._dispatcher.look_at(holding.task.run_at)

    async def _record(self, holding: Holding, step: Callable[[Task, datetime], None]) -> None:
        try:
            await reached("timeouts.before_record")
            await self._recorder.record(holding, step)
        except Conflict:
            logger.warning("lease lost", extra={"task_id": holding.task.task_id})


def _unavailable_error(attempts: int, timeout_s: float) -> dict[str, object]:
    return {
        "kind": str(Reason.RESOURCE_UNAVAILABLE),
        "message": f"the resources were not granted within {timeout_s:g} s, {attempts} times",
    }
