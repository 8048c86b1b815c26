"""The pace at which requests of each size are granted, as it was seen while others of that size waited."""

from collections import Counter
from typing import NamedTuple

from app.resources.sample import Sample
from app.resources.sizes import size_of

LEAST_SEEN = 8
"""Of fewer intervals nothing is concluded."""


class Paced(NamedTuple):
    """The newest intervals between grants of one size, and when the last grant was, in seconds since the epoch."""

    intervals: Sample
    last_at: float


class Pace:
    """Intervals between grants of each size, as long as there was always one that waited.

    The order says whose turn it is; it does not say how many small requests pass a large one that is blocked for
    minutes, nor how long those then wait that are as large. A node sees both.
    """

    def __init__(self) -> None:
        self._seen: dict[int, Sample] = {}
        self._last_at: dict[int, float] = {}
        self._waiting: Counter[int] = Counter()

    def waits(self, share: float) -> None:
        """A request of that share waits."""
        self._waiting[size_of(share)] += 1

    def granted(self, share: float, now: float) -> None:
        """One that had waited was granted."""
        size = size_of(share)
        if size in self._last_at:
            if size not in self._seen:
                self._seen[size] = Sample()
            self._seen[size].add(now - self._last_at[size])
        self._last_at[size] = now
        self.withdrawn(share)

    def withdrawn(self, share: float) -> None:
        """One waits no more. Where no other does, the next interval would say how long nothing came."""
        size = size_of(share)
        self._waiting[size] -= 1
        if not self._waiting[size]:
            del self._waiting[size]
            self._last_at.pop(size, None)

    def of(self, share: float) -> Paced | None:
        """The pace of requests of about that share; None where it is not known, or none waits now."""
        size = size_of(share)
        seen, last_at = self._seen.get(size), self._last_at.get(size)
        if seen is None or last_at is None or seen.count < LEAST_SEEN:
            return None
        return Paced(seen, last_at)
