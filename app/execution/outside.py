"""Executors outside: programs in any language that claim tasks over HTTP, run them, and say how they went.

They have the same leases, fences, history and retries as the attempts that run here. What they offer is what they are
given: their resources are their own and not this node's. Nothing of an execution is kept in memory, so that every call
may go to any node.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.clock import utc_now
from app.execution.backends.backend import Failed, Outcome, Stopped, Succeeded, Usage
from app.execution.holding import Step, parameters_of
from app.execution.offers import fitting
from app.execution.retry import stop_error
from app.execution.runner import ending, time_limit
from app.execution.sealing import UNREADABLE, Sealed, open_content
from app.protocol.reasons import Reason
from app.protocol.resources import Amounts, shortfall
from app.protocol.states import State
from app.protocol.task import Task
from app.resources.census import Census
from app.resources.claims import Claims, Terms
from app.security.envelopes.contents import Contents
from app.security.envelopes.errors import ContentUnavailable
from app.storage.errors import Conflict, QuotaExceeded, StorageUnavailable
from app.storage.journal import Journal
from app.storage.lines import Line, Want, line_of
from app.storage.outside import Claimed, OutsideLeases
from app.storage.queries import StatusReader
from app.storage.rows import amounts_of

logger = logging.getLogger("app.execution")

OWNER_PREFIX = "executor/"
_EXECUTION = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9][0-9]{0,3})", re.ASCII)
LOOKS = 8
"""Looks at what waits in one claim, before it is taken for having found nothing."""

POLL_S = 1.0
"""How often a waiting claim looks when nobody says anything."""


class LeaseLost(Exception):
    """The execution is not, or no longer, this executor's: it has ended, was rescued, or never was."""


class NoSuchExecution(Exception):
    """Nothing of that name has ever been claimed."""


@dataclass(frozen=True, slots=True)
class Execution:
    """An attempt that an executor has been given. It has to stop at `stop_at`."""

    execution_id: str
    task: Task
    stop_at: datetime
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat is answered: whether the executor should stop, and why; the lease is kept for `lease_s`."""

    stop: Reason | None
    lease_s: float
    stop_at: datetime


class OutsideExecutors:
    """See the module's docstring. `types` are the kinds that run outside; `paused` says which of them do not now."""

    def __init__(
        self,
        leases: OutsideLeases,
        journal: Journal,
        reader: StatusReader,
        types: Sequence[str],
        *,
        paused: Callable[[str], bool],
        refused: Callable[[Task, QuotaExceeded], None],
        cancel_grace_s: float,
    ) -> None:
        self._contents: Contents | None = None
        self.types = tuple(types)
        self.lease_s = leases.lease_s
        self._leases = leases
        self._journal = journal
        self._reader = reader
        self._paused = paused
        self._refused = refused
        self._claims = Claims()
        self._grace = timedelta(seconds=cancel_grace_s)
        self._news = asyncio.Event()

    def open_with(self, contents: Contents) -> None:
        """What came encrypted is opened by these for who is to run it, and what comes back is sealed."""
        self._contents = contents

    def look(self) -> None:
        """Something may wait: claims that are held look again."""
        if self.types:
            self._news.set()
            self._news = asyncio.Event()

    async def claim(
        self, executor: str, types: Sequence[str], offered: Amounts | None, limit: int, wait_s: float
    ) -> list[Execution]:
        """Attempts for an executor, begun: as many as it asks for and its offer has room for, held back up to `wait_s`.

        Raises StorageUnavailable.
        """
        deadline = time.monotonic() + wait_s
        while True:
            news = self._news
            wanted = [name for name in types if not self._paused(name)]
            found = await self._claim(owner_of(executor), wanted, offered, limit) if wanted else []
            left_s = deadline - time.monotonic()
            if found or left_s <= 0:
                return found
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), min(left_s, POLL_S))

    async def beat(self, executor: str, execution_id: str) -> Beat:
        """Keeps the lease, and ends what has run too long or was cancelled long enough ago.

        Raises LeaseLost, NoSuchExecution, StorageUnavailable.
        """
        task = await self._held(executor, execution_id)
        extended = await self._leases.extend(owner_of(executor), task.task_id)
        if extended is None:
            raise LeaseLost
        now = utc_now()
        left_s, reason = time_limit(task, extended.started_at)
        stop_at = extended.started_at + timedelta(seconds=left_s)
        if now >= stop_at:
            await self._end(executor, execution_id, Stopped(reason, {}))
            return Beat(reason, 0.0, stop_at)
        if extended.cancelled_by is not None or task.cancel_requested_at is not None:
            return await self._cancel(executor, execution_id, extended.cancelled_by or "", stop_at)
        return Beat(None, self._leases.lease_s, stop_at)

    async def progress(self, executor: str, execution_id: str, fraction: float, details: dict[str, Any]) -> None:
        """The executor says how far it is. Raises as `beat`."""
        sealed = await self._sealed(await self._held(executor, execution_id))
        kept = details if sealed is None else sealed.details(details)
        await self._record(executor, execution_id, lambda task, now: task.report_progress(now, fraction, kept))

    async def complete(self, executor: str, execution_id: str, result_json: str, used: Usage) -> Task:
        """The attempt has its result; the task as it is then. Said twice it is the same. Raises as `beat`."""
        try:
            return await self._end(executor, execution_id, Succeeded(result_json, used))
        except LeaseLost:
            # The answer to the first time may have been lost.
            task_id, attempt = _parts(execution_id)
            task = await self._reader.get(task_id)
            if task is None or (task.state, task.attempt) != (State.COMPLETED, attempt):
                raise
            known = task if self._contents is None else await self._contents.opened(task)
            if known.result_json != result_json:
                raise
            return task

    async def fail(self, executor: str, execution_id: str, outcome: Failed) -> Task:
        """The attempt has failed: another is due, or the task is over. Raises as `beat`."""
        return await self._end(executor, execution_id, outcome)

    async def _claim(self, owner: str, types: Sequence[str], offered: Amounts | None, limit: int) -> list[Execution]:
        wants = await self._wants(types, offered, limit)
        kids = None if self._contents is None else self._contents.kids()
        claimed = await self._leases.claim(owner, wants, kids) if wants else []
        self._claims.got(wants, (line_of(each.task) for each in claimed))
        kept, too_much = fitting(claimed, offered)
        await self._leases.give_back(owner, [each.task.task_id for each in too_much])
        begun = await asyncio.gather(*(self._begin(owner, each) for each in kept), return_exceptions=True)
        failed = [each for each in begun if isinstance(each, BaseException)]
        found = [each for each in begun if isinstance(each, Execution)]
        # What has begun is the executor's, whatever became of the rest: an outage, which its lease waits out.
        if failed and not (found and all(isinstance(each, StorageUnavailable) for each in failed)):
            raise failed[0]
        return found

    async def _wants(self, types: Sequence[str], offered: Amounts | None, limit: int) -> list[Want]:
        """What to claim: the lines that this executor can serve take turns, whichever executor asks."""

        def closed(line: Line) -> bool:
            return line.type not in types or (offered is not None and bool(shortfall(amounts_of(line.shape), offered)))

        ring = self._claims.ring
        ring.look_again()
        for _ in range(LOOKS):
            walks = ring.walks()
            ring.saw(walks, await self._leases.look(*walks))
            wants = self._claims.wants(limit, Census(), Terms(limit, closed=closed))
            if wants or ring.whole:
                return wants
        return []

    async def _begin(self, owner: str, claimed: Claimed) -> Execution | None:
        """Resources, then the start, in one change. None where it was cancelled, or has gone to another, meanwhile."""
        task, now = claimed.task, utc_now()
        if task.state is State.WAITING:
            task.request_resources(now)
        if claimed.cancelled_by is not None:
            task.request_cancel(now, claimed.cancelled_by)
            task.fail(now, Reason.CANCELLED, stop_error(task, Reason.CANCELLED))
        else:
            task.lease_owner = owner
            task.allocate(now, owner)
            task.start(now)
        try:
            await self._journal.commit(task.change())
        except Conflict:
            return None
        except QuotaExceeded as refusal:
            self._refused(task, refusal)
            await self._leases.give_back(owner, [task.task_id])
            return None
        if task.state.terminal:
            return None
        try:
            sealed = await self._sealed(task)
        except ContentUnavailable as error:
            logger.error("%s", error, extra={"task_id": task.task_id})  # noqa: TRY400 - the sentence says it all
            ending(UNREADABLE)(task, utc_now())
            await self._journal.commit(task.change())
            return None
        parameters = parameters_of(task) if sealed is None else sealed.parameters
        stop_at = now + timedelta(seconds=time_limit(task, now)[0])
        return Execution(f"{task.task_id}.{task.attempt}", task, stop_at, parameters)

    async def _sealed(self, task: Task) -> Sealed | None:
        """The content of a task that came encrypted. Raises ContentUnavailable."""
        if task.encryption_json is None:
            return None
        assert self._contents is not None, "no encrypted message was ever taken"
        return await open_content(self._contents, task)

    async def _cancel(self, executor: str, execution_id: str, by: str, stop_at: datetime) -> Beat:
        """Records the wish once; ends the attempt where the executor has not, after the grace time."""
        task = await self._record(executor, execution_id, lambda task, now: task.request_cancel(now, by))
        assert task.cancel_requested_at is not None, "it has just been recorded"
        if utc_now() < task.cancel_requested_at + self._grace:
            return Beat(Reason.CANCELLED, self._leases.lease_s, stop_at)
        await self._end(executor, execution_id, Stopped(Reason.CANCELLED, {}))
        return Beat(Reason.CANCELLED, 0.0, stop_at)

    async def _end(self, executor: str, execution_id: str, outcome: Outcome) -> Task:
        sealed = await self._sealed(await self._held(executor, execution_id))
        return await self._record(
            executor, execution_id, ending(outcome if sealed is None else sealed.outcome(outcome))
        )

    async def _record(self, executor: str, execution_id: str, step: Step) -> Task:
        """One step of an execution; looks again where another change of the task came first."""
        while True:
            task = await self._held(executor, execution_id)
            step(task, utc_now())
            try:
                await self._journal.commit(task.change())
            except Conflict:
                continue
            return task

    async def _held(self, executor: str, execution_id: str) -> Task:
        task_id, attempt = _parts(execution_id)
        task = await self._reader.get(task_id)
        if task is None or task.type not in self.types or not 1 <= attempt <= task.attempt:
            raise NoSuchExecution
        is_its = task.lease_owner == owner_of(executor) and task.attempt == attempt
        if not is_its or task.state is not State.EXECUTING:
            raise LeaseLost
        return task


def owner_of(executor: str) -> str:
    """The name in which an executor holds its leases."""
    return OWNER_PREFIX + executor


def _parts(execution_id: str) -> tuple[str, int]:
    """The task and the number of the attempt. Raises NoSuchExecution for what is no name of an execution."""
    found = _EXECUTION.fullmatch(execution_id)
    if found is None:
        raise NoSuchExecution
    return found[1], int(found[2])
