"""Following the history of a task: every message in order, from any point on, until the task is over.

Nothing is kept between two reads but the sequence of the last message: whoever was cut off goes on from there, at this
node or another. A wake (see watch.py) only makes the next read come sooner; without one it comes within a second.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import Enum

from app.delivery.watch import Subscription, Watch
from app.protocol.history import Item
from app.protocol.task import Task
from app.storage.errors import StorageUnavailable
from app.storage.queries import Heads, Queries

PAGE = 20
"""Messages read at once. Nothing more is held for a reader that is slow."""

READS_AT_ONCE = 4
"""Pages read at the same time for all streams of this node: others need the database's connections too."""


class Mark(Enum):
    """What is said between messages: that the line is alive, or why it ends before the task does."""

    ALIVE = "alive"
    EXPIRED = "expired"
    REVOKED = "revoked"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two looks without news, and between two signs of life."""

    poll_s: float = 1.0
    alive_s: float = 15.0


class HistoryFollower:
    """See the module's docstring."""

    def __init__(self, queries: Queries, heads: Heads, watch: Watch, pace: Pace | None = None) -> None:
        self._queries = queries
        self._heads = heads
        self._watch = watch
        self._pace = pace or Pace()
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    async def follow(
        self, task: Task, after: int, *, expires_at: float, revoked: Callable[[], bool], draining: Callable[[], bool]
    ) -> AsyncGenerator[Item | Mark, None]:
        """The messages behind number `after` as they come, with signs of life while there are none.

        Ends behind the last message of a task that is over; with a mark at `expires_at` (seconds since the epoch),
        and soon after the caller's token is `revoked` or the node begins `draining`. A database that is away is
        waited for.
        """
        clock = asyncio.get_running_loop().time
        over = task.state.terminal
        with self._watch.subscribe(task.task_id) as subscription:
            alive_at = clock() + self._pace.alive_s
            while True:
                page = await self._page(task, after)
                for item in page or ():
                    yield item
                    after, over = item.sequence, over or item.status.terminal
                if over and page is not None and len(page) < PAGE:
                    return
                end = _end(expires_at, revoked, draining)
                if end is not None:
                    yield end
                    return
                if page:
                    alive_at = clock() + self._pace.alive_s
                elif clock() >= alive_at:
                    yield Mark.ALIVE
                    alive_at = clock() + self._pace.alive_s
                if page is None or len(page) < PAGE:
                    await self._wait(subscription, alive_at - clock(), expires_at)

    async def _page(self, task: Task, after: int) -> list[Item] | None:
        """What there is behind `after`, at most a page; None where the database is away."""
        try:
            if await self._heads.get(task.task_id) <= after:
                return []
            async with self._reads:
                return await self._queries.messages(task, after, PAGE)
        except StorageUnavailable:
            return None

    async def _wait(self, subscription: Subscription, alive_in_s: float, expires_at: float) -> None:
        await subscription.wait(min(self._pace.poll_s, alive_in_s, expires_at - time.time()))


def _end(expires_at: float, revoked: Callable[[], bool], draining: Callable[[], bool]) -> Mark | None:
    """Why the stream ends now although the task goes on, if it does."""
    if draining():
        return Mark.DRAINING
    if revoked():
        return Mark.REVOKED
    return Mark.EXPIRED if time.time() >= expires_at else None
