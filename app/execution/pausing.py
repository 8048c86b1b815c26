"""What operators want of this node and of kinds of task, put into effect: pause, drain, resume.

Read from the database at intervals and on news, so that a wish spoken to any node reaches every node. While the
database is away the last known wish stands.
"""

import asyncio
import logging

from app.execution.dispatcher import Dispatcher
from app.execution.draining import hand_back
from app.storage.controls import Controls, Mode, Wanted

logger = logging.getLogger("app.execution")

LOOK_S = 2.0
"""Seconds between two looks, where no news comes."""


class Pausing:
    """See the module's docstring. `grace_s` is how long running tasks get to finish when the node is drained."""

    def __init__(self, controls: Controls, dispatcher: Dispatcher, *, grace_s: float) -> None:
        self._controls = controls
        self._dispatcher = dispatcher
        self._grace_s = grace_s
        self._wanted = Wanted(Mode.SERVING, frozenset(), others_serve=False)
        self._drain: asyncio.Task[object] | None = None

    @property
    def mode(self) -> Mode:
        """What this node does."""
        return self._wanted.mode

    def pauses(self, kind: str) -> bool:
        """Whether the kind is paused, wherever it would run."""
        return kind in self._wanted.paused_types

    def holds_back(self, kind: str) -> bool:
        """Whether tasks of this kind start nowhere: the kind is paused, or every node is."""
        wanted = self._wanted
        return kind in wanted.paused_types or (wanted.mode is not Mode.SERVING and not wanted.others_serve)

    async def look(self) -> None:
        """Reads what is wanted and does it; repeated, since what comes late is let go of then.

        Raises StorageUnavailable.
        """
        before, self._wanted = self._wanted, await self._controls.wanted(self._dispatcher.node_id)
        if self._wanted != before:
            logger.info("paused kinds: %s; this node is %s", sorted(self._wanted.paused_types) or "none", self.mode)
        await self._dispatcher.leave_out(self._wanted.paused_types)
        if self.mode is Mode.SERVING:
            self._end_drain()
            self._dispatcher.resume()
        else:
            await self._dispatcher.pause()
            if self.mode is Mode.DRAINING and self._drain is None:
                self._drain = asyncio.create_task(hand_back(self._dispatcher, self._grace_s))

    async def close(self) -> None:
        """Ends a drain that is under way."""
        self._end_drain()

    def _end_drain(self) -> None:
        if self._drain is not None:
            self._drain.cancel()
            self._drain = None
