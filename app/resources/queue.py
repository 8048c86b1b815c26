"""The queue of requests that could not be granted at once, and the order in which they are.

Strict priority with aging; inside a priority a fair share between submitters; a submitter's own by earliest deadline.
What is asked of it costs O(log n) in the number of requests, except `ahead_of`.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from itertools import count
from math import inf
from typing import NamedTuple

from app.resources.aging import MOST_LEFT, RETURNS_S, Aging
from app.resources.lanes import Entry, Shape, Vector, shape_of
from app.resources.level import Level
from app.resources.request import Request


class Ahead(NamedTuple):
    """How many requests come before one, in all and by shape; of a shape it may be a guess, and then a fraction."""

    requests: int
    shapes: dict[Shape, float]


class FairQueue:
    """Requests that wait, in the order in which they are to be granted. Times are seconds since the epoch."""

    def __init__(self, aging: Aging, weights: Mapping[str, float]) -> None:
        self._aging = aging
        self._weights = weights
        self._levels: dict[int, Level] = {}
        self._priorities: list[int] = []
        self._numbers = count()
        # Priorities of which nothing waits, and since when: their lanes still owe for what was claimed a moment ago.
        self._idle: dict[int, tuple[float, Level]] = {}
        self._now = 0.0
        self._turn: Entry | None = None  # of a hungry priority, and next until it is granted
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, request: Request, cost: float, now: float) -> Entry:
        """The request waits; `cost` is what it is expected to take, in share-seconds."""
        self._now = now
        level = self._levels.get(request.priority) or self._begin(request.priority)
        lane = level.lane_of(request.submitter, self._weights.get(request.submitter, 1.0))
        deadline = inf if request.deadline is None else request.deadline
        due = (deadline, request.submitted_at, next(self._numbers))
        entry = Entry(request, due, shape_of(request), cost, lane)
        level.add(entry)
        self._waiting += 1
        return entry

    def remove(self, entry: Entry) -> None:
        """The request waits no more."""
        priority = entry.request.priority
        level = self._levels[priority]
        level.remove(entry)
        self._waiting -= 1
        if entry is self._turn:
            self._turn = None
        if not level.waiting:
            del self._priorities[bisect_left(self._priorities, priority)]
            self._aging.leave(priority, self._now)
            if len(self._idle) >= MOST_LEFT:
                del self._idle[next(iter(self._idle))]
            self._idle[priority] = (self._now, self._levels.pop(priority))

    def take(self, entry: Entry, now: float, cost: float | None = None, *, in_order: bool) -> None:
        """The request is granted: in its order, or ahead of the one that is first (backfill).

        Its lane pays `cost`, where that is known better now than when the request came.
        """
        self._now = now
        priority = entry.request.priority
        self._levels[priority].charge(entry, entry.cost if cost is None else cost)
        if entry is self._turn:
            self._aging.turn_taken(priority)
        elif in_order:
            self._aging.served(priority, now)
        self.remove(entry)

    def first(self, now: float) -> Entry | None:
        """The next in order.

        One whose priority has its turn by age stays the next until it is granted: a large request
        needs time to be made room for, and would be overtaken for ever.
        """
        if self._turn is not None:
            return self._turn
        if not self._priorities:
            return None
        hungry = self._aging.turn(now)
        if hungry is not None:
            self._turn = self._levels[hungry].first()
            return self._turn
        return self._levels[self._priorities[0]].first()

    def _begin(self, priority: int) -> Level:
        """A priority of which nothing waited; what came back at once goes on as before."""
        left_at, level = self._idle.pop(priority, (-inf, Level()))
        if self._now - left_at > RETURNS_S:
            level = Level()
        self._levels[priority] = level
        insort(self._priorities, priority)
        self._aging.join(priority, self._now)
        return level

    @property
    def most_urgent(self) -> int | None:
        """The most urgent priority that waits; None where nothing does."""
        return self._priorities[0] if self._priorities else None

    def levels(self) -> Iterator[Level]:
        """What waits, the most urgent priority first."""
        return (self._levels[priority] for priority in self._priorities)

    def ahead_of(self, entry: Entry) -> Ahead:
        """How much comes before a request, as things stand. Looks at the submitters of its priority and at its lane."""
        if entry is self._turn:
            return Ahead(0, {})
        ahead, shapes = self._levels[entry.request.priority].ahead_of(entry)
        for level in self._more_urgent(entry.request.priority):
            ahead += level.waiting
            for shape, number in level.by_shape.items():
                shapes[shape] = shapes.get(shape, 0.0) + number
        return Ahead(ahead, shapes)

    def cost_before(self, priority: int) -> float:
        """Share-seconds of all that is more urgent."""
        return sum(level.cost for level in self._more_urgent(priority))

    def _more_urgent(self, priority: int) -> Iterator[Level]:
        return (self._levels[each] for each in self._priorities[: bisect_left(self._priorities, priority)])

    def by_amounts(self) -> dict[Vector, int]:
        """How many requests ask for each vector."""
        counts: dict[Vector, int] = {}
        for level in self.levels():
            for shape in level.shapes:
                counts[shape[1]] = counts.get(shape[1], 0) + level.count_of(shape)
        return counts
