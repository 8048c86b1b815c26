"""How often a subject may call, exactly over all replicas.

What a subject takes is decided in the database (`Draw`, which bootstrap hands in). A replica draws ahead: it holds some
of a subject's calls for a moment, as many as the subject has lately made, so that most calls cost no question. What it
holds counts as used; what it does not use in time, or takes with it when it is killed, is lost. So in sum never more
than the limit is let through.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.protocol.rates import Drawn, Rate, Wish, whole_seconds
from app.security.allowance import Allowance
from app.security.errors import RateLimited

MOST_AHEAD = 1000
SUBJECTS = 20_000
"""Subjects that are remembered, about 10 MB. What is held of one that is forgotten is lost."""

POLICY = "calls"


Draw = Callable[[str, Rate, Wish], Awaitable[Drawn]]


class SubjectLimits:
    """Lets calls through or not. For one event loop's thread.

    `rate_of` answers a subject's rate as it is now, or None where it has no limit.
    """

    def __init__(
        self, draw: Draw, rate_of: Callable[[str], Rate | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._draw = draw
        self._rate_of = rate_of
        self._clock = clock
        self._allowances: dict[str, Allowance] = {}
        self._ahead: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._allowances)

    async def take(self, subject: str, cost: int = 1) -> Allowance | None:
        """Lets `cost` calls of the subject through; None where it has no limit.

        Raises RateLimited, and whatever the draw raises where the database is away: nobody is let through unasked.
        No question is asked where enough is held here, nor where the last answer tells that there is nothing yet.
        """
        rate = self._rate_of(subject)
        if rate is None:
            return None
        allowance = self._allowance(subject, rate)
        now = self._clock()
        if not allowance.take(cost, now):
            await self._take_in_turn(allowance, cost)
        elif allowance.stock <= allowance.low and not allowance.turn.locked() and allowance.appetite(now):
            self._draw_ahead(allowance)
        return allowance

    def standing(self, subject: str) -> Allowance | None:
        """What this replica knows of the subject; None where it has no limit."""
        rate = self._rate_of(subject)
        return None if rate is None else self._allowance(subject, rate)

    async def close(self) -> None:
        """Waits for what is being drawn."""
        await asyncio.gather(*self._ahead, return_exceptions=True)

    def _allowance(self, subject: str, rate: Rate) -> Allowance:
        known = self._allowances.get(subject)
        if known is not None and (known.rate is rate or known.rate == rate):
            return known
        if known is None and len(self._allowances) >= SUBJECTS:
            del self._allowances[next(iter(self._allowances))]
        made = self._allowances[subject] = Allowance(subject, rate, POLICY)
        return made

    async def _take_in_turn(self, allowance: Allowance, cost: int) -> None:
        allowance.waiting += cost
        try:
            await allowance.turn.acquire()
        finally:
            allowance.waiting -= cost
        try:
            # Whoever was before in the line may have drawn for this one too.
            if not allowance.take(cost, self._clock()) and not await self._draw_for(allowance, cost):
                raise self._refusal(allowance, cost)
        finally:
            allowance.turn.release()

    async def _draw_for(self, allowance: Allowance, cost: int) -> bool:
        now = self._clock()
        missing = cost - allowance.held(now)
        if allowance.refused_for_s(missing, now):
            return False
        if not await self._ask(allowance, now, missing, allowance.waiting):
            return False
        allowance.spend(cost - missing)
        allowance.count(cost, now)
        return True

    def _draw_ahead(self, allowance: Allowance) -> None:
        """In the background, so that the next calls need not wait."""

        async def ask() -> None:
            async with allowance.turn:
                await self._ask(allowance, self._clock(), 0, 0)

        task = asyncio.create_task(ask())
        self._ahead.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._ahead.discard(task)
        if not task.cancelled():
            # Looked at, so that nobody complains of it: the next call that finds nothing here asks again and is told.
            task.exception()

    async def _ask(self, allowance: Allowance, now: float, wanted: int, more: int) -> bool:
        """One draw. What it brings may be held for so long after the question, which was before the answer."""
        ahead = min(allowance.appetite(now), MOST_AHEAD)
        granted, beyond, debt_s = await self._draw(
            allowance.subject, allowance.rate, Wish(wanted, more, ahead, allowance.hold_s)
        )
        allowance.drawn(beyond, now, debt_s)
        return granted

    def _refusal(self, allowance: Allowance, cost: int) -> RateLimited:
        now = self._clock()
        missing = cost - allowance.held(now)
        return RateLimited(POLICY, allowance.rate, whole_seconds(allowance.refused_for_s(missing, now)), cost)
