"""Readings that take the longer the more a submitter has: one at a time of each, and told again for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

TOLD_AGAIN = 20
"""For so many times as long as it took it is told again: asking without end costs a twentieth of a connection."""

REMEMBERED = 1000


class Readings(Generic[T]):
    """What was read of each submitter lately, told again for `least_s` seconds at the least."""

    def __init__(self, clock: Callable[[], float], least_s: float = 0.0) -> None:
        self._clock = clock
        self._least_s = least_s
        self._known: dict[str, tuple[float, T]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def of(self, submitter: str, read: Callable[[], Awaitable[T]]) -> T:
        """What is known, or what `read` answers; raises what it raises."""
        async with self._turns.setdefault(submitter, asyncio.Lock()):
            until, known = self._known.get(submitter, (0.0, None))
            if known is not None and self._clock() < until:
                return known
            begin = self._clock()
            found = await read()
            now = self._clock()
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[submitter] = now + max(self._least_s, TOLD_AGAIN * (now - begin)), found
            return found
