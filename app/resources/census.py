"""The census: how many requests wait on this node, counted in the ways in which claims are held back."""

from collections import Counter
from typing import Any

from app.resources.request import Request
from app.storage.lines import Line
from app.storage.rows import amounts_text

Asked = tuple[int, str, str]
"""A priority, a kind of task and a request: what fits or does not fit together, whoever asks."""


def line_of_request(request: Request) -> Line:
    """The line in which the request's task waits, or would wait, in the database."""
    return Line(request.priority, request.submitter, request.kind, amounts_text(request.amounts))


def asked_in(line: Line) -> Asked:
    """The line without its submitter."""
    return line.priority, line.type, line.shape


class Census:
    """Counts of requests that wait; what is not there counts 0."""

    def __init__(self) -> None:
        self.lines: Counter[Line] = Counter()
        self.submitters: Counter[tuple[int, str]] = Counter()
        self.asked: Counter[Asked] = Counter()

    def add(self, line: Line, count: int = 1) -> None:
        """So many more requests of the line wait; or fewer, where the count is negative."""
        places: tuple[tuple[Counter[Any], Any], ...] = (
            (self.lines, line),
            (self.submitters, line[:2]),
            (self.asked, asked_in(line)),
        )
        for counts, key in places:
            counts[key] += count
            if not counts[key]:
                del counts[key]

    def copy(self) -> "Census":
        """The same counts, to be gone on with in a plan."""
        copied = Census()
        copied.lines, copied.submitters, copied.asked = self.lines.copy(), self.submitters.copy(), self.asked.copy()
        return copied
