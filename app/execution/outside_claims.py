"""Claims of executors outside: they say what they offer, and are given attempts that have begun (see outside.py).

What an executor offers is what it is given: its resources are its own and not this node's. The lines in which tasks
wait are walked in turns, as for the nodes themselves, whichever executor asks.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.clock import utc_now
from app.execution.holding import parameters_of
from app.execution.offers import fitting
from app.execution.retry import stop_error
from app.execution.runner import ending, time_limit
from app.execution.sealing import UNREADABLE, sealed_of
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
from app.storage.rows import amounts_of

logger = logging.getLogger("app.execution")

OWNER_PREFIX = "executor/"

LOOKS = 8
"""Looks at what waits in one claim, before it is taken for having found nothing."""

POLL_S = 1.0
"""How often a waiting claim looks when nobody says anything."""


@dataclass(frozen=True, slots=True)
class Execution:
    """An attempt that an executor has been given. It has to stop at `stop_at`."""

    execution_id: str
    task: Task
    stop_at: datetime
    parameters: dict[str, Any]


class OutsideClaims:
    """See the module's docstring. `types` are the kinds that run outside; `paused` says which of them do not now.

    `contents` opens what came encrypted for who is to run it.
    """

    def __init__(
        self,
        leases: OutsideLeases,
        journal: Journal,
        types: Sequence[str],
        *,
        paused: Callable[[str], bool],
        refused: Callable[[Task, QuotaExceeded], None],
        contents: Contents | None = None,
    ) -> None:
        self.types = tuple(types)
        self._leases = leases
        self._journal = journal
        self._paused = paused
        self._refused = refused
        self._contents = contents
        self._claims = Claims()
        self._news = asyncio.Event()

    def look(self) -> None:
        """Something may wait: claims that are held look again."""
        if self.types:
            self._news.set()
            self._news = asyncio.Event()

    async def claim(
        self,
        executor: str,
        types: Sequence[str],
        offered: Amounts | None,
        limit: int,
        wait_s: float,
        gone: Callable[[], Awaitable[bool]],
    ) -> list[Execution]:
        """Attempts for an executor, begun: as many as it asks for and its offer has room for, held back up to `wait_s`.

        None for one that is `gone`: its attempts would be lost with the answer. Raises StorageUnavailable.
        """
        deadline = time.monotonic() + wait_s
        while not await gone():
            news = self._news
            wanted = [name for name in types if not self._paused(name)]
            found = await self._claim(owner_of(executor), wanted, offered, limit) if wanted else []
            left_s = deadline - time.monotonic()
            if found or left_s <= 0:
                return found
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), min(left_s, POLL_S))
        return []

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
            sealed = await sealed_of(self._contents, task)
        except ContentUnavailable as error:
            logger.error("%s", error, extra={"task_id": task.task_id})  # noqa: TRY400 - the sentence says it all
            ending(UNREADABLE)(task, utc_now())
            await self._journal.commit(task.change())
            return None
        parameters = parameters_of(task) if sealed is None else sealed.parameters
        stop_at = now + timedelta(seconds=time_limit(task, now)[0])
        return Execution(f"{task.task_id}.{task.attempt}", task, stop_at, parameters)


def owner_of(executor: str) -> str:
    """The name in which an executor holds its leases."""
    return OWNER_PREFIX + executor
