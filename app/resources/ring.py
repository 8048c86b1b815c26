"""The ring: which lines of tasks wait in the database, as far as this node has looked, and where it looks next.

Pure: it is told what a look found. There may be more lines than a node can remember; it then goes round them, forgets
those that it has served, and comes to them again.
"""

from collections import Counter
from collections.abc import Iterable

from app.storage.lines import LINES_OF_ONE, Line, Seen, Walk

REMEMBERED = 256
"""Lines known at a time: more would be looked through at every claim."""

NEAR_STEPS, FAR_STEPS = 96, 32
"""Lines in one walk: among the most urgent ones, and among all others."""

NO_WALK = Walk(None, 0)


class Ring:
    """Lines known to wait, those that have been served last coming last."""

    def __init__(self) -> None:
        self._known: dict[Line, None] = {}
        self._near: Line | None = None
        self._far: Line | None = None
        self._near_done = self._far_done = False
        self._again = False
        self._partial = False
        # Submitters with more lines than a walk looks at: where the walk inside theirs goes on.
        self._inside: dict[tuple[int, str], Line] = {}

    @property
    def lines(self) -> Iterable[Line]:
        """Those known, in order."""
        return self._known

    @property
    def whole(self) -> bool:
        """Whether every line was known at the end of the last time round, and nothing has been told since."""
        return self._near_done and self._far_done and not (self._inside or self._again or self._partial)

    @property
    def empty(self) -> bool:
        """Whether nothing waits in the database, as far as can be told."""
        return self.whole and not self._known

    def look_again(self) -> None:
        """Something may have come: goes round once more, after this time round where one is under way."""
        self._again = True

    def walks(self) -> tuple[Walk, Walk, Walk]:
        """How the next look goes: among the most urgent lines, among the others, inside one submitter's."""
        if self._near_done and self._far_done and (self._again or self._partial):
            self._near_done = self._far_done = self._again = self._partial = False
        room = len(self._known) < REMEMBERED
        near = Walk(self._near, NEAR_STEPS) if room and not self._near_done else NO_WALK
        far = Walk(self._far, FAR_STEPS) if room and not self._far_done else NO_WALK
        inside = Walk(next(iter(self._inside.values())), LINES_OF_ONE) if self._inside else NO_WALK
        return near, far, inside

    def saw(self, walks: tuple[Walk, Walk, Walk], seen: Seen) -> int:
        """Takes in what a look found; answers how many lines were new."""
        near, far, inside = walks
        if near.steps:
            self._near_done, self._near = _end_of(near, seen.near)
        if far.steps:
            self._far_done, self._far = _end_of(far, seen.far)
        if inside.steps and inside.after is not None:
            self._go_on_inside(inside.after, [line for line in seen.inside if line[:2] == inside.after[:2]])
        for walked in (seen.near, seen.far):
            lines_of_one = Counter(line[:2] for line in walked)
            last = {line[:2]: line for line in walked if lines_of_one[line[:2]] >= LINES_OF_ONE}
            # Where such a walk is under way it goes on.
            self._inside = last | self._inside
        return sum(self.learn(line) for some in seen for line in some)

    def learn(self, line: Line) -> bool:
        """Something waits in this line; False where that was known."""
        if line in self._known:
            return False
        self._known[line] = None
        return True

    def served(self, line: Line, *, exhausted: bool) -> None:
        """Tasks of the line have been claimed; `exhausted` where it had fewer than were wanted."""
        self._known.pop(line, None)
        if exhausted:
            return
        if len(self._known) < REMEMBERED - NEAR_STEPS:
            self._known[line] = None
        else:
            # There are more lines than are remembered: it is found again the next time round.
            self._partial = True

    def forget_idle(self, idle: Iterable[Line]) -> None:
        """Makes room for other lines, where it has run out, by forgetting these: they cannot be served now."""
        if len(self._known) >= REMEMBERED:
            for line in idle:
                del self._known[line]
                self._partial = True

    def _go_on_inside(self, after: Line, found: list[Line]) -> None:
        del self._inside[after[:2]]
        if len(found) >= LINES_OF_ONE:
            self._inside[after[:2]] = found[-1]


def _end_of(walk: Walk, found: list[Line]) -> tuple[bool, Line | None]:
    """Whether the walk has come to the end, and where it goes on otherwise."""
    return (False, found[-1]) if len(found) >= walk.steps else (True, None)
