"""What waits in a database, as plain data: the pure twin of the statements in app/storage/lines.py."""

from bisect import bisect_right, insort
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from app.storage.lines import LINES_OF_ONE, Line, Seen, Walk, Want

LAST_PRIORITY = 32767
BEYOND = "\U0010ffff"


class Stored(NamedTuple):
    """A task that waits, as its line orders it: by deadline, then by id, which is by age."""

    deadline: float
    task_id: str


class Backlog:
    """Tasks that wait, line by line."""

    def __init__(self) -> None:
        self._lines: dict[Line, list[Stored]] = {}
        self._order: list[Line] = []

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def put(self, line: Line, task_id: str, deadline: float | None = None) -> None:
        """The task waits."""
        if line not in self._lines:
            self._lines[line] = []
            insort(self._order, line)
        insort(self._lines[line], Stored(inf if deadline is None else deadline, task_id))

    def look(self, near: Walk, far: Walk, inside: Walk) -> Seen:
        """The lines that the walks find."""
        if not self._order:
            return Seen([], [], [], [])
        top = self._order[0].priority
        begin = Line(top, "", "", "")
        from_near = near.after if near.after and near.after.priority == top else begin
        from_far = far.after if far.after and far.after.priority > top else begin._replace(priority=top + 1)
        found = [] if inside.after is None else self._walk(inside.after, inside.steps, inside.after.priority, inf)
        return Seen(
            self._walk(from_near, near.steps, top),
            self._walk(from_far, far.steps, LAST_PRIORITY),
            [line for line in found if inside.after and line[:2] == inside.after[:2]],
            [],
        )

    def claim(self, wants: Sequence[Want]) -> list[tuple[Line, str]]:
        """Takes the first of each line wanted, or as many as there are."""
        taken = []
        for line, wanted in wants:
            tasks = self._lines.get(line, [])
            taken += [(line, stored.task_id) for stored in tasks[:wanted]]
            del tasks[:wanted]
            if line in self._lines and not tasks:
                del self._lines[line]
                self._order.remove(line)
        return taken

    def _walk(self, after: Line, steps: int, until: int, of_one: float = LINES_OF_ONE) -> list[Line]:
        found: list[Line] = []
        nth = 0
        while len(found) < steps:
            behind = after if nth < of_one else after._replace(type=BEYOND, shape=BEYOND)
            place = bisect_right(self._order, behind)
            if place == len(self._order) or self._order[place].priority > until:
                break
            line = self._order[place]
            nth = nth + 1 if line[:2] == after[:2] else 1
            found.append(line)
            after = line
        return found
