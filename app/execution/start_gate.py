"""Whose starts a quota holds back: known here from what the journal has refused, and from looks at what is used.

The journal decides, exactly and over all nodes; this keeps a node from trying in vain. A submitter whose start was
refused is shut out here: what it has waiting goes back to the database and is not claimed, so that others pass. As
soon as a look shows room, as many of its tasks are let in as there is room for. Why a task waits is told by what is
used also where this node has refused nothing, since another one may have.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from app.protocol.quotas import room_for_starts
from app.protocol.resources import Amounts, shortfall, to_wire
from app.protocol.task import Task
from app.storage.errors import OF_STARTS, QuotaExceeded, StorageUnavailable
from app.storage.quotas import Quotas
from app.storage.usage import Use

LOOK_S = 0.5
"""Seconds between two looks while somebody is shut out, and how long what was seen is told again."""

MOST_REMEMBERED = 1_000


@dataclass(slots=True)
class _Shut:
    """A submitter that was refused: for what, what it wanted to hold then, and how many may come in now."""

    policy: str
    wanted: Amounts
    room: int
    use: Use


class StartGate:
    """See the module's docstring. `opened` is called when there is room again."""

    def __init__(self, quotas: Quotas, opened: Callable[[], None] = lambda: None) -> None:
        self._quotas = quotas
        self.opened = opened
        self._shut: dict[str, _Shut] = {}
        self._seen: dict[str, tuple[float, Use]] = {}  # of those who are not shut out here

    def limits(self, submitter: str) -> bool:
        """Whether a start of this submitter's may be refused at all."""
        return submitter in self._shut or self._quotas.of(submitter).limits_starts

    def is_shut(self, submitter: str) -> bool:
        """Whether it would be in vain to start anything of this submitter's."""
        shut = self._shut.get(submitter)
        return shut is not None and shut.room <= 0

    def room(self, submitter: str) -> int | None:
        """How many of this submitter's tasks may come in now; None where nothing is known to stand against them."""
        shut = self._shut.get(submitter)
        return None if shut is None else max(0, shut.room)

    def pass_through(self, submitter: str) -> bool:
        """Lets one task in, unless the gate is shut."""
        shut = self._shut.get(submitter)
        if shut is None:
            return True
        shut.room -= 1
        return shut.room >= 0

    def refused(self, task: Task, refusal: Exception | None) -> None:
        """The journal has refused the task, because of its start if that is what the refusal says."""
        if isinstance(refusal, QuotaExceeded) and refusal.policy in OF_STARTS:
            self._shut[task.submitter] = _Shut(refusal.policy, task.requested, 0, Use(running=refusal.used or 0))

    async def look(self) -> None:
        """Whether there is room again. Raises StorageUnavailable."""
        for submitter, shut in list(self._shut.items()):
            use, quota = await self._quotas.usage.of(submitter), self._quotas.of(submitter)
            if self._shut.get(submitter) is not shut:
                continue  # Another look was faster, or it has been refused anew since this one began.
            if not use.queued or not quota.limits_starts:
                del self._shut[submitter]
                self.opened()
                continue
            shut.use, shut.room = use, room_for_starts(quota, use.running, use.held, shut.wanted)
            if shut.room > 0:
                self.opened()

    async def ended(self, submitter: str) -> None:
        """An attempt of this submitter's has ended: where the gate is shut there may be room now."""
        if submitter in self._shut:
            with suppress(StorageUnavailable):
                await self.look()

    async def explain(self, task: Task) -> str | None:
        """`details.waiting` of a task that a quota holds back, here or anywhere, as JSON; None for any other."""
        shut = self._shut.get(task.submitter) or await self._shut_elsewhere(task)
        if shut is None or shut.room > 0:
            return None
        quota = self._quotas.of(task.submitter)
        if shut.policy == "running":
            missing, limit, used = {}, quota.running, shut.use.running
        else:
            limits = quota.limits()
            # Less than nothing is free where the quota was lowered below the use.
            free = {unit: limit - shut.use.held.get(unit, 0) for unit, limit in limits.items()}
            wanted = {unit: amount for unit, amount in task.requested.items() if unit in limits}
            missing, limit, used = to_wire(shortfall(wanted, free)), None, None
        found = {"reason": "quota", "missing": missing, "policy": shut.policy, "limit": limit, "used": used}
        return json.dumps(found, separators=(",", ":"))

    async def _shut_elsewhere(self, task: Task) -> _Shut | None:
        """What a node that tried to start the task would find. While the database does not answer, nothing is told."""
        quota = self._quotas.of(task.submitter)
        if not quota.limits_starts:
            return None
        try:
            use = await self._use_of(task.submitter)
        except StorageUnavailable:
            return None
        as_many_run = not room_for_starts(quota, use.running, {}, {})
        room = room_for_starts(quota, use.running, use.held, task.requested)
        return _Shut("running" if as_many_run else "held", task.requested, room, use)

    async def _use_of(self, submitter: str) -> Use:
        at, use = self._seen.get(submitter, (-inf, Use()))
        if time.monotonic() >= at + LOOK_S:
            use = await self._quotas.usage.of(submitter)
            if len(self._seen) >= MOST_REMEMBERED:
                self._seen.clear()
            self._seen[submitter] = time.monotonic(), use
        return use
