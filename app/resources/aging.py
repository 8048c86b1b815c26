"""Aging: how a priority that is always passed over comes to its turn.

Priorities are strict until one of them has waited for `aging_s` without a grant. From then on, and until it is served
in the ordinary way again, one grant in `share` goes to the priorities that have been waiting so, in turn. An urgent
task is thus put off by one grant in `share` at most, and no task starves. (Lifting tasks by their age instead would let
the old backlog of one who floods pass every urgent newcomer.)
"""

from math import inf
from operator import itemgetter

RETURNS_S = 5.0
"""A priority that comes back so soon had not really left: more of it was waiting in the database."""


MOST_LEFT = 64
"""Priorities that are remembered after they have left."""


class Aging:
    """Which priorities have gone hungry. Times are seconds since the epoch; every call takes constant time."""

    def __init__(self, aging_s: float, share: int) -> None:
        self._aging_s = aging_s
        self._share = share
        self._since: dict[int, float] = {}  # not hungry yet, the longest unserved first
        self._hungry: dict[int, None] = {}  # the next in turn first
        self._left: dict[int, tuple[float, float | None]] = {}  # when, and unserved since when; None where hungry
        self._grants = 0  # since the last turn of the hungry

    def join(self, priority: int, now: float) -> None:
        """A task of that priority waits, and none did before."""
        left_at, since = self._left.pop(priority, (-inf, now))
        if now - left_at > RETURNS_S:
            self._since[priority] = now
        elif since is None:
            self._hungry[priority] = None
        else:
            self._since = dict(sorted([*self._since.items(), (priority, since)], key=itemgetter(1)))

    def leave(self, priority: int, now: float) -> None:
        """No task of that priority waits here any more."""
        since = self._since.pop(priority, None)
        if priority in self._hungry:
            del self._hungry[priority]
            since = None
        if len(self._left) >= MOST_LEFT:
            del self._left[next(iter(self._left))]
        self._left[priority] = (now, since)

    def served(self, priority: int, now: float) -> None:
        """The priority was granted something in the ordinary order."""
        self._grants += 1
        self._hungry.pop(priority, None)
        self._since.pop(priority, None)
        self._since[priority] = now

    def turn_taken(self, priority: int) -> None:
        """A hungry priority was granted something in its turn; the next hungry one follows."""
        self._grants = 0
        self._hungry.pop(priority, None)
        self._hungry[priority] = None

    def turn(self, now: float) -> int | None:
        """The hungry priority whose turn it is, if it is time for one."""
        while self._since:
            priority, since = next(iter(self._since.items()))
            if now - since < self._aging_s:
                break
            del self._since[priority]
            self._hungry[priority] = None
        if not self._hungry or self._grants < self._share - 1:
            return None
        return next(iter(self._hungry))
