"""How many tasks of which line a node claims, so that it holds what the fair order would run next.

A pure rule over plain data. The node's own queue decides the exact order among what was claimed; the claims see to it
that every submitter has something in it. So nobody's tasks may take up the room that others need:

- Each submitter gets a part of the window, by weight; one of whom nothing is held gets some where others fill it.
- What cannot be granted (a licence that is out) piles up to its window and no further.
- One claimed task in ten is of a priority that is not the most urgent one, so that the queue can let it come to
  its turn by age.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.resources.census import Asked, Census, asked_in
from app.resources.ring import Ring
from app.storage.lines import Line, Want

LEAST_PART = 2
"""Tasks of a line that are held at least, where they are to be had: one to run next, and one behind it."""

SPREAD = 4
"""So many windows may be held of one request where many submitters make it; and one of whom nothing is held yet gets
this part of his part while it is full."""

PARTS_OF_ONE = 4
"""So many parts may be held of one submitter, who may ask for different things."""

AGED_SHARE = 10
"""One claimed task in so many is of a less urgent priority."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one claim.

    `window` is how many requests of one sort the node holds while they wait, `weight` a submitter's share,
    `allowance` how many more of a submitter's tasks may be held (None: as many as there are), `closed` tells the lines
    of which nothing is to be claimed here.
    """

    window: int
    weight: Callable[[str], float] = lambda _submitter: 1.0
    allowance: Callable[[str], int | None] = lambda _submitter: None
    closed: Callable[[Line], bool] = lambda _line: False


class Fullness:
    """What is full: it has reached a bound, and has not yet fallen to half of it.

    So tasks are claimed in some number, and not one by one as they are granted.
    """

    def __init__(self) -> None:
        self._full: frozenset[Asked] = frozenset()
        self._packed: frozenset[Asked] = frozenset()

    def look(self, census: Census, window: int) -> None:
        """Takes the counts as they are now."""
        self._full = _reached(census, window, self._full)
        self._packed = _reached(census, SPREAD * window, self._packed)

    def full(self, asked: Asked) -> bool:
        """Only lines of which nothing is held may add to it."""
        return asked in self._full

    def packed(self, asked: Asked) -> bool:
        """Nothing may add to it."""
        return asked in self._packed


def _reached(census: Census, bound: int, before: frozenset[Asked]) -> frozenset[Asked]:
    return frozenset(
        asked for asked, count in census.asked.items() if count >= bound or (asked in before and count > bound // 2)
    )


class Plan:
    """Which tasks to claim now. `lines` come in the order in which they are to be served within a priority."""

    def __init__(self, lines: Iterable[Line], census: Census, fullness: Fullness, terms: Terms) -> None:
        self._terms = terms
        self._fullness = fullness
        self._census = census.copy()
        self._lines: list[Line] = []
        self._closed: list[Line] = []
        for line in lines:
            (self._closed if terms.closed(line) else self._lines).append(line)
        self._parts = _parts(self._lines, terms)
        self._allowances: dict[str, int] = {}
        self._counts: dict[Line, int] = {}

    def wants(self, limit: int) -> list[Want]:
        """At most `limit` tasks: of the most urgent priority first, a tenth of the others."""
        roomy = sorted((line for line in self._lines if self._room(line)), key=lambda line: line.priority)
        if not roomy:
            return []
        aged = [line for line in self._lines if line.priority > roomy[0].priority]
        kept = max(1, limit // AGED_SHARE) if roomy[-1].priority > roomy[0].priority and limit > 1 else 0
        left = self._allot(roomy, limit - kept)
        self._allot(aged, kept + left)
        return [Want(line, count) for line, count in self._counts.items()]

    def idle(self) -> list[Line]:
        """The lines of which nothing can be claimed now."""
        unwanted = [line for line in self._lines if line not in self._counts and not self._room(line)]
        return self._closed + unwanted

    def _allot(self, lines: list[Line], slots: int) -> int:
        for line in lines:
            count = min(self._room(line), slots)
            if count > 0:
                self._counts[line] = self._counts.get(line, 0) + count
                self._census.add(line, count)
                if line.submitter in self._allowances:
                    self._allowances[line.submitter] -= count
                slots -= count
            if not slots:
                break
        return slots

    def _room(self, line: Line) -> int:
        """How many more of the line may be held."""
        part, asked, window = self._parts[line[:2]], asked_in(line), self._terms.window
        held, of_all = self._census.lines[line], self._census.asked[asked]
        room = 0 if self._fullness.full(asked) else min(part - held, window - of_all)
        if room <= 0 and not held and of_all < SPREAD * window and not self._fullness.packed(asked):
            room = max(1, part // SPREAD)
        room = min(room, PARTS_OF_ONE * part - self._census.submitters[line[:2]])
        return min(room, self._allowance(line.submitter)) if room > 0 else 0

    def _allowance(self, submitter: str) -> int:
        if submitter not in self._allowances:
            allowance = self._terms.allowance(submitter)
            if allowance is None:
                return self._terms.window * SPREAD
            self._allowances[submitter] = allowance
        return self._allowances[submitter]


def _parts(lines: list[Line], terms: Terms) -> dict[tuple[int, str], int]:
    """The part of the window that each submitter has in each priority."""
    weights = {line[:2]: terms.weight(line.submitter) for line in lines}
    totals: dict[int, float] = {}
    for (priority, _), weight in weights.items():
        totals[priority] = totals.get(priority, 0.0) + weight
    return {place: max(LEAST_PART, int(terms.window * weight / totals[place[0]])) for place, weight in weights.items()}


class Claims:
    """What one node knows of the lines in the database, and what it claims of them next.

    The node looks (`ring.walks`, `ring.saw`), asks what it wants, and tells what it got.
    """

    def __init__(self) -> None:
        self.ring = Ring()
        self._fullness = Fullness()

    def wants(self, limit: int, census: Census, terms: Terms) -> list[Want]:
        """At most `limit` tasks of the lines known, given what waits on the node."""
        self._fullness.look(census, terms.window)
        plan = Plan(self.ring.lines, census, self._fullness, terms)
        wants = plan.wants(limit)
        self.ring.forget_idle(plan.idle())
        return wants

    def got(self, wants: list[Want], tasks: Iterable[Line]) -> None:
        """The lines of the tasks that were claimed. A line that had fewer than were wanted is empty."""
        counts = Counter(tasks)
        for line, wanted in wants:
            self.ring.served(line, exhausted=counts[line] < wanted)

    def leave(self, terms: Terms) -> bool:
        """Whether more waits in the database that is to be claimed here, as far as can be told."""
        return not self.ring.whole or not all(map(terms.closed, self.ring.lines))

    def holds_enough(self, line: Line, census: Census) -> bool:
        """Whether nothing more of the line would be claimed now, by what was found at the last claim."""
        return self._fullness.full(asked_in(line)) and census.lines[line] > 0
