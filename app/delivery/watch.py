"""Waiting for news of a task: what `Prefer: wait` holds on to.

Woken by the journal's commits in this process and by other nodes' notifications; a poll is the caller's.
"""

import asyncio
from collections.abc import Iterable
from typing import Self


class Watch:
    """Callers that wait for a task to change."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def changed(self, task_ids: Iterable[str] | None) -> None:
        """These tasks have changed; None: any may have."""
        if not self._waiting:
            return
        for task_id in list(self._waiting) if task_ids is None else task_ids:
            for future in self._waiting.get(task_id, ()):
                if not future.done():
                    future.set_result(None)

    def subscribe(self, task_id: str) -> "Subscription":
        """Hears of every change from now on. To be used as a context manager."""
        return Subscription(self._waiting, task_id)


class Subscription:
    """One caller's interest in one task."""

    def __init__(self, waiting: dict[str, set[asyncio.Future[None]]], task_id: str) -> None:
        self._waiting = waiting
        self._task_id = task_id
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> Self:
        self._waiting.setdefault(self._task_id, set()).add(self._future)
        return self

    def __exit__(self, *_: object) -> None:
        self._future.cancel()
        others = self._waiting[self._task_id]
        others.discard(self._future)
        if not others:
            del self._waiting[self._task_id]

    async def wait(self, seconds: float) -> bool:
        """Waits for a change since the last call, at most so long; answers whether there was one."""
        await asyncio.wait([self._future], timeout=max(0.0, seconds))
        if not self._future.done():
            return False
        self._renew()
        return True

    def _renew(self) -> None:
        others = self._waiting[self._task_id]
        others.discard(self._future)
        self._future = asyncio.get_running_loop().create_future()
        others.add(self._future)
