"""Marks: up to where the lines of what waits are worked off, as far as this node knows.

What was claimed leaves a dead entry at the head of its line. A vacuum removes it, unless a transaction stays open: then
a claim that begins at the head passes all of them, which takes seconds for a million. A mark says where to begin.

It is a hint and never a truth. A task may come back, have an earlier deadline, or be committed late. What is known to
wait before a mark is a stray, and is claimed by its place; the rest is found by a sweep, which begins at the head, and
claims wait for no sweep. While sweeps find little to pass, marks are not in force, and every claim begins at the head.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from app.protocol.states import State
from app.protocol.task import Task
from app.storage.lines import Line, Place, Range, Want, line_of, place_of

MARKED = 1024
"""Lines with a mark: those of which something was claimed last."""

STRAYS = 200
"""Strays of a line. Where there are more, its mark goes back to the first of them."""

BEARABLE_S = 0.002
BEARABLE_OF_ONE_S = 0.00005
"""Seconds that Postgres may take for a sweep, and for each line in it, before marks are in force: a few thousand dead
entries in all, or a hundred in each line."""


class Mark:
    """One line's: it is worked off before `place`, but for `strays`."""

    __slots__ = ("place", "strays")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.strays: set[Place] = set()

    def waits(self, place: Place) -> None:
        """Something is waiting there."""
        if place < self.place:
            self.strays.add(place)
            if len(self.strays) > STRAYS:
                self.place = min(self.strays)
                self.strays.clear()


class Found(NamedTuple):
    """What a sweep found in a line: what waits before its mark, and the first that waits from there on."""

    before: list[Place]
    first: Place | None


class Marks:
    """Those of one node. See the module's docstring."""

    def __init__(self) -> None:
        self.in_force = False
        self.sweep_s = 0.0
        """Seconds that the last sweep took Postgres."""
        self.swept_at: datetime | None = None
        """When the last sweep began, by the database's clock: whatever was due again then is in its line."""
        self._marks: dict[Line, Mark] = {}
        self._unmarked: set[Line] = set()

    def places(self) -> list[tuple[Line, Place]]:
        """Every mark, as it is now."""
        return [(line, mark.place) for line, mark in self._marks.items()]

    def saw(self, lines: Iterable[Line]) -> None:
        """Something waits in these lines, of which nothing may have been claimed here: the next sweep marks them."""
        if self.in_force:
            self._unmarked.update(line for line in lines if line not in self._marks)

    def to_sweep(self, also: Iterable[Line]) -> list[tuple[Line, Place | None]]:
        """The lines to be swept: those with a mark, those seen since the last sweep, and others besides."""
        unmarked, self._unmarked = {*self._unmarked, *also} - self._marks.keys(), set()
        return [*self.places(), *((line, None) for line in sorted(unmarked))]

    def with_strays(self) -> list[Line]:
        """The lines in which something waits before the mark."""
        return [line for line, mark in self._marks.items() if mark.strays]

    def strays(self, wants: Sequence[Want]) -> list[str]:
        """The strays of these lines, as many as are wanted. Each is given out once: whoever misses it has lost it."""
        if not self.in_force:
            return []
        return [place.task_id for want in wants for place in self._strays(want)]

    def ranges(self, wants: Sequence[Want]) -> list[Range]:
        """Where to look for what is wanted besides."""
        marks = self._marks if self.in_force else {}
        return [Range(line, wanted, mark.place if (mark := marks.get(line)) else None) for line, wanted in wants]

    def took(self, taken: Iterable[tuple[Line, Place]], latest: Place) -> None:
        """What was claimed. Something behind `latest` may be committed yet: no mark goes further."""
        for line, place in taken:
            mark = self._marks.pop(line, None) or Mark(min(place, latest))
            mark.place = max(mark.place, min(place, latest))
            mark.strays.discard(place)
            self._marks[line] = mark
        self._forget()

    def waits(self, line: Line, place: Place) -> None:
        """A task has come into the line."""
        if (mark := self._marks.get(line)) is not None:
            mark.waits(place)

    def written(self, task: Task) -> None:
        """The task was stored or changed here: it may wait in its line."""
        if self._marks and task.lease_owner is None and task.state is State.RESOURCE_ALLOCATION:
            self.waits(line_of(task), place_of(task.deadline, task.task_id))

    def swept(self, asked: Sequence[tuple[Line, Place | None]], found: Sequence[Found], latest: Place) -> bool:
        """Takes in a sweep of lines whose marks were as `asked`, and of some without one; whether strays were found.

        `latest` as for `took`, at the sweep's beginning. Where nothing waited any more, a mark goes there, unless it is
        among the deadlines: one that is still to come may be anywhere behind it.
        """
        for (line, place), (before, first) in zip(asked, found, strict=True):
            until = latest if first is None else min(first, latest)
            mark = self._marks.setdefault(line, Mark(until))
            if place is not None and mark.place >= place and (first is not None or place.open):
                mark.place = max(mark.place, until)
            for stray in before:
                mark.waits(stray)
        self._forget()
        return any(each.before for each in found)

    def judge(self, took_s: float, lines: int) -> None:
        """A sweep of so many lines took Postgres so long."""
        self.sweep_s = took_s
        self.in_force = took_s > BEARABLE_S + lines * BEARABLE_OF_ONE_S

    def _strays(self, want: Want) -> list[Place]:
        mark = self._marks.get(want.line)
        if mark is None or not mark.strays:
            return []
        strays = sorted(mark.strays)[: want.wanted]
        mark.strays.difference_update(strays)
        return strays

    def _forget(self) -> None:
        while len(self._marks) > MARKED:
            del self._marks[next(iter(self._marks))]


def less(wants: Sequence[Want], taken: Iterable[Line]) -> list[Want]:
    """What is still wanted."""
    counts = Counter(taken)
    return [Want(line, wanted - counts[line]) for line, wanted in wants if wanted > counts[line]]
