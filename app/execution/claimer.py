"""The claimer: brings tasks from the database to this node, as many as it can use, as the fair order would run them.

Which tasks those are is decided by pure rules (app/resources/claims.py) over what is known of the lines in which tasks
wait (app/resources/ring.py).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from app.clock import utc_now
from app.protocol.task import Task
from app.resources.capacities import Capacities
from app.resources.claims import Claims, Terms
from app.resources.manager import ResourceManager
from app.storage.claim import Leases
from app.storage.errors import StorageUnavailable
from app.storage.lines import Line, line_of
from app.storage.rows import amounts_of

logger = logging.getLogger("app.execution")

CLAIM_LIMIT = 200
"""Tasks in one claim: a claim of 200 costs little more than one of 20."""

WINDOW = 200
"""Waiting requests of one sort (priority, kind and resources) held in memory, divided between their submitters."""

LEAST_WINDOW = 4
"""The same for a node that has just begun to run tasks beside others."""

PENDING_LIMIT = 20 * WINDOW
"""Waiting requests of all sorts held in memory."""

BARREN_LOOKS = 4
"""Looks in a row that bring nothing to claim, before the next wake-up is waited for."""

POLL_S = 1.0
"""How often the database is asked when nobody says anything: the fallback behind every wake-up."""

STOP_S = 6.0
"""Longer than a statement may take."""


class Claimer:
    """Claims until the database has nothing more for this node, and again when there may be.

    `backlog` says that more waits in the database than is wanted here. `types` are those claimed, but for what only
    another node could ever grant (`capacities`); `allowance` is how many more of a submitter's are; nothing is while
    `held`. `caught_up` is called when everything that was announced has been looked at.
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
        self.capacities = Capacities(leases.node_id, manager.capacity)
        self.held = False
        self.types = list(types)
        self.allowance: Callable[[str], int | None] = lambda _submitter: None
        self._leases = leases
        self._manager = manager
        self._adopt = adopt
        self._caught_up = caught_up
        self._announced = 0
        self._looked_at = 0
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False
        self._claims = Claims()
        self._barren = 0

    @property
    def behind(self) -> bool:
        """Tasks have been announced that no claim has looked for yet."""
        return self._announced != self._looked_at

    @property
    def window(self) -> int:
        """How many requests of one sort this node holds while they wait.

        Alone it may as well hold what there is. Beside others a quarter of what runs here, enough to bridge the time
        that a claim takes: what waits behind a busy node could start on an idle one.
        """
        if self.capacities.alone:
            return WINDOW
        return min(WINDOW, max(LEAST_WINDOW, self._manager.running_count // 4))

    def serves(self, task: Task) -> bool:
        """Whether the task is for this node."""
        return task.type in self.types and not self.capacities.only_elsewhere(task.requested)

    def comes_first(self, priority: int) -> bool:
        """Whether a task would be more urgent than all that waits, here and, as far as is known, in the database."""
        here = self._manager.most_urgent_waiting
        return here is not None and priority < min([here, *(line.priority for line in self._claims.ring.lines)])

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

    def announce(self, line: Line | None = None) -> None:
        """Something waits in the database, in this line; without one: something may, anywhere."""
        if line is None:
            self._claims.ring.look_again()
        else:
            self._claims.ring.learn(line)
            if self._claims.holds_enough(line, self._manager.census):
                return
            self._announced += 1
        self._wake.set()

    def look_at(self, moment: datetime) -> None:
        """Something will be due then."""
        delay_s = max(0.0, (moment - utc_now()).total_seconds())
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
                self._claims.ring.look_again()
            self._wake.clear()
            self._barren = 0
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
        if self.held or self._manager.waiting_count >= PENDING_LIMIT:
            return False
        announced = self._announced
        ring = self._claims.ring
        looked = not ring.whole
        if looked:
            walks = ring.walks()
            ring.saw(walks, await self._leases.look(*walks))
        terms = self._terms()
        wants = self._claims.wants(min(CLAIM_LIMIT, self.window), self._manager.census, terms)
        tasks = await self._leases.claim(wants) if wants else []
        self._claims.got(wants, map(line_of, tasks))
        await self._adopt(tasks)
        self.backlog = self._claims.leave(terms) or self._manager.waiting_count >= self.window
        self._looked_at = announced
        if not self.behind:
            self._caught_up()
        self._barren = 0 if tasks else self._barren + looked
        return bool(tasks) or (looked and not ring.whole and self._barren < BARREN_LOOKS)

    def _terms(self) -> Terms:
        return Terms(self.window, self._manager.weight_of, self.allowance, self._is_closed)

    def _is_closed(self, line: Line) -> bool:
        return line.type not in self.types or self.capacities.only_elsewhere(amounts_of(line.shape))
