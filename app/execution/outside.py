"""Executors outside: programs in any language that claim tasks over HTTP, run them, and say how they went.

They have the same leases, fences, history and retries as the attempts that run here. What they have claimed
(outside_claims.py) they keep by heartbeats, until they say how it ended. Nothing of an execution is kept in memory, so
that every call may go to any node.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.clock import utc_now
from app.execution import wishes
from app.execution.backends.backend import Failed, Outcome, Stopped, Succeeded, Usage
from app.execution.holding import Step
from app.execution.outside_claims import OutsideClaims, owner_of
from app.execution.runner import ending, time_limit
from app.execution.sealing import sealed_of
from app.protocol.reasons import Reason
from app.protocol.states import State
from app.protocol.task import Task
from app.security.envelopes.contents import Contents
from app.storage.errors import Conflict
from app.storage.journal import Journal
from app.storage.outside import OutsideLeases
from app.storage.queries import StatusReader

_EXECUTION = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9][0-9]{0,3})", re.ASCII)


class LeaseLost(Exception):
    """The execution is not, or no longer, this executor's: it has ended, was rescued, or never was."""


class NoSuchExecution(Exception):
    """Nothing of that name has ever been claimed."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat is answered: whether the executor should stop, and why; the lease is kept for `lease_s`."""

    stop: Reason | None
    lease_s: float
    stop_at: datetime


class OutsideExecutors:
    """See the module's docstring. `contents` seals what comes back of what came encrypted."""

    def __init__(
        self,
        leases: OutsideLeases,
        journal: Journal,
        reader: StatusReader,
        claims: OutsideClaims,
        *,
        cancel_grace_s: float,
        contents: Contents | None = None,
    ) -> None:
        self.claims = claims
        self.lease_s = leases.lease_s
        self._leases = leases
        self._journal = journal
        self._reader = reader
        self._contents = contents
        self._grace = timedelta(seconds=cancel_grace_s)

    async def beat(self, executor: str, execution_id: str) -> Beat:
        """Keeps the lease, and ends what has run too long or was cancelled long enough ago.

        Raises LeaseLost, NoSuchExecution, StorageUnavailable.
        """
        task = await self._held(executor, execution_id)
        extended = await self._leases.extend(owner_of(executor), task.task_id)
        if extended is None:
            raise LeaseLost
        if extended.acknowledged is not None:
            await self._acknowledge(executor, execution_id, extended.acknowledged)
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
        sealed = await sealed_of(self._contents, await self._held(executor, execution_id))
        kept = details if sealed is None else sealed.details(details)
        await self._record(executor, execution_id, lambda task, now: task.report_progress(now, fraction, kept))

    async def complete(self, executor: str, execution_id: str, result_json: str, used: Usage) -> Task:
        """The attempt has its result; the task as it is then. Said twice it is the same. Raises as `beat`."""
        outcome = Succeeded(result_json, used)
        return await self._end_once(executor, execution_id, outcome, lambda known: known.result_json == result_json)

    async def fail(self, executor: str, execution_id: str, outcome: Failed) -> Task:
        """The attempt has failed: another is due, or the task is over. Said twice it is the same. Raises as `beat`."""

        def ended_so(known: Task) -> bool:
            return known.error_json is not None and json.loads(known.error_json) == outcome.error

        return await self._end_once(executor, execution_id, outcome, ended_so)

    async def _end_once(
        self, executor: str, execution_id: str, outcome: Outcome, ended_so: Callable[[Task], bool]
    ) -> Task:
        """Ends an attempt. One that `ended_so` already is answered again: the answer may have been lost."""
        try:
            return await self._end(executor, execution_id, outcome)
        except LeaseLost:
            task_id, attempt = _parts(execution_id)
            task = await self._reader.get(task_id)
            if task is None or task.attempt != attempt or task.state is State.EXECUTING:
                raise
            if not ended_so(task if self._contents is None else await self._contents.opened(task)):
                raise
            return task

    async def _acknowledge(self, executor: str, execution_id: str, sequence: int) -> None:
        """Records the word that the task's submitter has left for who holds it."""
        with suppress(Conflict):  # Another call of the executor's was faster.
            await self._record(executor, execution_id, wishes.acknowledge(sequence))

    async def _cancel(self, executor: str, execution_id: str, by: str, stop_at: datetime) -> Beat:
        """Records the wish once; ends the attempt where the executor has not, after the grace time."""
        task = await self._record(executor, execution_id, lambda task, now: task.request_cancel(now, by))
        assert task.cancel_requested_at is not None, "it has just been recorded"
        if utc_now() < task.cancel_requested_at + self._grace:
            return Beat(Reason.CANCELLED, self._leases.lease_s, stop_at)
        await self._end(executor, execution_id, Stopped(Reason.CANCELLED, {}))
        return Beat(Reason.CANCELLED, 0.0, stop_at)

    async def _end(self, executor: str, execution_id: str, outcome: Outcome) -> Task:
        sealed = await sealed_of(self._contents, await self._held(executor, execution_id))
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
        if task is None or task.type not in self.claims.types or not 1 <= attempt <= task.attempt:
            raise NoSuchExecution
        is_its = task.lease_owner == owner_of(executor) and task.attempt == attempt
        if not is_its or task.state is not State.EXECUTING:
            raise LeaseLost
        return task


def _parts(execution_id: str) -> tuple[str, int]:
    """The task and the number of the attempt. Raises NoSuchExecution for what is no name of an execution."""
    found = _EXECUTION.fullmatch(execution_id)
    if found is None:
        raise NoSuchExecution
    return found[1], int(found[2])
