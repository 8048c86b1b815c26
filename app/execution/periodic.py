"""A loop that does one thing at intervals and survives its failures."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from app.storage import sparing
from app.storage.errors import StorageUnavailable

logger = logging.getLogger("app.execution")


RETRY_S = 0.5
"""Seconds after which an action is tried again that found the database away: it is due when that is back."""


class Periodic:
    """Calls `action` every `interval_s` seconds, never twice at once, until closed.

    The first call comes at once, or after the interval where `at_once` is false. One that `spares` the database pauses
    for longer where the action takes long (storage/sparing.py).
    """

    def __init__(
        self,
        name: str,
        interval_s: float,
        action: Callable[[], Awaitable[None]],
        *,
        at_once: bool = True,
        spares: bool = False,
    ) -> None:
        self._at_once = at_once
        self._spares = spares
        self._name = name
        self._interval_s = interval_s
        self._action = action
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.create_task(self._loop(), name=self._name)

    async def close(self) -> None:
        """Ends the loop, in the middle of a call if need be."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        away = False
        if not self._at_once:
            await asyncio.sleep(self._interval_s)
        while True:
            pause_s, begin = self._interval_s, asyncio.get_running_loop().time()
            try:
                await self._action()
                if self._spares:
                    pause_s = sparing.pause_s(pause_s, asyncio.get_running_loop().time() - begin)
                away = False
            except StorageUnavailable as error:
                if not away:
                    logger.warning("%s: the database is away: %s", self._name, error)
                away, pause_s = True, min(pause_s, RETRY_S)
            except Exception:
                logger.exception("%s failed", self._name)
            await asyncio.sleep(pause_s)
