"""The claimer: brings tasks from the database to this node, as many as it can use, most urgent first."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.storage.claim import Leases
from app.storage.errors import StorageUnavailable
from app.storage.rows import amounts_text

logger = logging.getLogger("app.execution")

CLAIM_LIMIT = 200
"""Tasks in one claim: a claim of 200 costs little more than one of 20."""

SHAPE_WINDOW = 200
"""Waiting requests of one shape held in memory. A shape that reaches its window is not claimed until half of it has
been granted, so that requests which cannot be granted (a licence that is out, a GPU that is taken) never keep others
from being looked at."""

LEAST_WINDOW = 4
"""The same for a node that has just begun to run tasks beside others."""

PENDING_LIMIT = 20 * SHAPE_WINDOW
"""Waiting requests of all shapes held in memory."""

POLL_S = 1.0
"""How often the database is asked when nobody says anything: the fallback behind every wake-up."""

STOP_S = 6.0
"""Longer than a statement may take."""


class Claimer:
    """Claims until the database has nothing more for this node, and again when there may be.

    `backlog` says that more waits in the database than is wanted here. `alone` says that no other node serves: what
    waits may then as well wait here. `types` are those claimed; nothing is while `held`. `caught_up` is called when
    everything that was announced has been looked at.
    """

    def __init__(
        self,
        leases: Leases,
        manager: ResourceManager,
        types: Sequence[str],
        adopt: Callable[[list[Task]], Awaitable[None]],
        caught_up: Callable[[], None],
    ) -> None:
        self.backlog = True
        self.alone = True
        self.held = False
        self.types = list(types)
        self._leases = leases
        self._manager = manager
        self._adopt = adopt
        self._caught_up = caught_up
        self._announced = 0
        self._looked_at = 0
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False
        self._full: frozenset[str] = frozenset()
        # The full shapes beside which the last claim found nothing: another claim would only pass over them again.
        self._barren: frozenset[str] | None = None

    @property
    def behind(self) -> bool:
        """Tasks have been announced that no claim has looked for yet."""
        return self._announced != self._looked_at

    @property
    def window(self) -> int:
        """How many requests of one shape this node holds while they wait.

        Beside others a quarter of what runs here, enough to bridge the time that a claim takes: what waits behind a
        busy node could start on an idle one.
        """
        if self.alone:
            return SHAPE_WINDOW
        return min(SHAPE_WINDOW, max(LEAST_WINDOW, self._manager.running_count // 4))

    def start(self) -> None:
        """Begins to claim, at once."""
        self._wake.set()
        self._loop = asyncio.create_task(self._claim_forever())

    async def stop(self) -> None:
        """Claims nothing more. A claim under way is waited for: its tasks are leased, and have to be given back."""
        self._stopping = True
        self._wake.set()
        if self._loop is not None:
            _, late = await asyncio.wait([self._loop], timeout=STOP_S)
            for loop in late:
                loop.cancel()

    def announce(self, shape: str | None = None) -> None:
        """Something waits in the database, of this shape; without one: something may."""
        if shape in self._full:
            return
        if shape is not None:
            self._announced += 1
        self._barren = None
        self._wake.set()

    def look_at(self, moment: datetime) -> None:
        """Something will be due then."""
        delay_s = max(0.0, (moment - datetime.now(UTC)).total_seconds())
        asyncio.get_running_loop().call_later(delay_s, self.announce)

    def room(self) -> None:
        """Resources have been freed."""
        if self.backlog:
            self._wake.set()

    async def _claim_forever(self) -> None:
        while not self._stopping:
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            except TimeoutError:
                self._barren = None
            self._wake.clear()
            try:
                while not self._stopping and await self._claim():
                    pass
            except StorageUnavailable as error:
                logger.warning("cannot claim, the database is away: %s", error)
                await asyncio.sleep(POLL_S / 4)
                self._wake.set()
            except Exception:
                # Whatever it is, a claimer that has died without a word would be worse.
                logger.exception("claiming failed")
                await asyncio.sleep(POLL_S)

    async def _claim(self) -> bool:
        """One claim; answers whether another may bring more."""
        self._full = self._full_shapes()
        if self.held or self._manager.waiting_count >= PENDING_LIMIT or self._full == self._barren:
            return False
        limit = min(CLAIM_LIMIT, self.window)
        announced = self._announced
        tasks = await self._leases.claim(limit, self.types, sorted(self._full))
        await self._adopt(tasks)
        more = len(tasks) >= limit
        # Woken while the claim was under way: it may have looked too early.
        told = self._wake.is_set()
        self._barren = self._full if self._full and not more and not told else None
        # With a shape held back, more of it may wait than was looked at.
        self.backlog = more or bool(self._full)
        self._looked_at = announced
        if not self.behind:
            self._caught_up()
        return more

    def _full_shapes(self) -> frozenset[str]:
        counts = {amounts_text(amounts): count for amounts, count in self._manager.pending_by_shape()}
        window = self.window
        return frozenset(
            shape for shape, count in counts.items() if count >= window or (shape in self._full and count > window // 2)
        )
