"""Progress on its way from a handler to the journal: thinned, in order, the last always kept."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from app.execution.holding import Holding, Recorder
from app.fault_points import reached

UPDATES_PER_S = 10

SealDetails = Callable[[dict[str, Any]], dict[str, Any]]


class ProgressPump:
    """Stores at most ten updates a second of one attempt; an update in between replaces the one that waits.

    Nothing runs while there is nothing to store: most tasks report nothing, and many little. The details of a task that
    came encrypted are sealed before they are stored.
    """

    def __init__(self, holding: Holding, recorder: Recorder) -> None:
        self._seal: SealDetails | None = None
        self._holding = holding
        self._recorder = recorder
        self._latest: tuple[float, dict[str, Any]] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def seal_by(self, seal: SealDetails) -> None:
        """The details of all updates are closed by this."""
        self._seal = seal

    def report(self, fraction: float, details: dict[str, Any]) -> None:
        """Takes an update; returns at once."""
        self._latest = (fraction, details)
        if self._worker is None and not self._closing.is_set():
            self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Stores what is left. Raises Conflict where the lease was lost."""
        self._closing.set()
        if self._worker is not None:
            await self._worker

    async def _work(self) -> None:
        while self._latest is not None:
            await self._store(*self._latest)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), 1 / UPDATES_PER_S)
        self._worker = None

    async def _store(self, fraction: float, details: dict[str, Any]) -> None:
        self._latest = None
        if self._seal is not None:
            details = self._seal(details)
        await reached("progress.before_record")
        await self._recorder.record(self._holding, lambda task, now: task.report_progress(now, fraction, details))
