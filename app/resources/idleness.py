"""What a node leaves idle in front of requests that do not fit yet, as it was seen."""

from app.resources.sample import Sample
from app.resources.sizes import size_of


class Idleness:
    """Share-seconds that were left idle in front of requests of each size: the newest of each that were granted.

    How much that is depends on what a request is mixed with, on how run times differ, and on what may pass it: no
    formula tells it, but a node sees it whenever something waits. Where requests for unlike units run side by
    side, shares add up to more than the node; what is left idle is then less than nothing, which is as well. Times
    are seconds since the epoch; a share is a part of the node, 0..1.
    """

    def __init__(self) -> None:
        self._seen: dict[int, Sample] = {}
        self._since: dict[int, float] = {}  # idle in front of each size since one of it was granted last
        self._first: int | None = None  # the size of what is first and does not fit
        self._left = 0.0
        self._at = 0.0

    def passed(self, now: float) -> None:
        """It is later, and until now everything was as it has been left."""
        if self._first is not None:
            idle = self._left * max(now - self._at, 0.0)
            self._since[self._first] = self._since.get(self._first, 0.0) + idle
        self._at = now

    def left(self, share: float, held: float) -> None:
        """From now on a request of that share is first and does not fit, while others hold so much together."""
        self._first, self._left = size_of(share), 1 - held

    def ended(self) -> None:
        """Nothing waits any more."""
        self._first = None

    def granted(self, share: float) -> None:
        """A request of that share that had waited was granted."""
        size = size_of(share)
        if size not in self._seen:
            self._seen[size] = Sample()
        self._seen[size].add(self._since.pop(size, 0.0))

    def before(self, share: float) -> Sample | None:
        """What was left idle in front of requests of about that share; None where none has waited yet."""
        return self._seen.get(size_of(share))
