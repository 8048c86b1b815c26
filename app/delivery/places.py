"""How many streams, and answers that are held back, there may be at once at this node.

Each costs a connection and memory for as long as it lasts, and all of them share what connections there are.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

PER_SUBJECT = 100
PER_TASK = 5


class TooManyWaits(Exception):
    """The subject has as many answers held back at this node as it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"there are {limit} answers held back for you already")
        self.limit = limit


class WaitPlaces:
    """The places for answers that are held back until something has changed: long polls and claims that wait."""

    def __init__(self, per_subject: int) -> None:
        self._per_subject = per_subject
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken_by(self, subject: str) -> Iterator[None]:
        """Holds a place. Raises TooManyWaits."""
        if self._taken[subject] >= self._per_subject:
            raise TooManyWaits(self._per_subject)
        self._taken[subject] += 1
        try:
            yield
        finally:
            self._taken[subject] -= 1
            # Whoever has none leaves no trace.
            if not self._taken[subject]:
                del self._taken[subject]

    @property
    def taken(self) -> int:
        """Answers that are held back now."""
        return self._taken.total()


class TooManyStreams(Exception):
    """The subject has as many streams open at this node as it may have, in all or of one task."""

    def __init__(self, limit: int, of: str) -> None:
        super().__init__(f"there are {limit} streams {of} open already")
        self.limit = limit


class StreamPlaces:
    """The places for streams of one node."""

    def __init__(self, per_subject: int = PER_SUBJECT, per_task: int = PER_TASK) -> None:
        self._per_subject = per_subject
        self._per_task = per_task
        # By subject and task, and by subject alone (the task being None).
        self._taken: Counter[tuple[str, str | None]] = Counter()

    def take(self, subject: str, task_id: str) -> "Place":
        """A place for one stream, to be released in the end. Raises TooManyStreams."""
        if self._taken[subject, task_id] >= self._per_task:
            raise TooManyStreams(self._per_task, "of this task")
        if self._taken[subject, None] >= self._per_subject:
            raise TooManyStreams(self._per_subject, "of yours")
        self._count(subject, task_id, 1)
        return Place(self, subject, task_id)

    def give_back(self, subject: str, task_id: str) -> None:
        """One place is free again."""
        self._count(subject, task_id, -1)

    @property
    def taken(self) -> int:
        """Streams open now."""
        return sum(count for (_, task_id), count in self._taken.items() if task_id is None)

    def _count(self, subject: str, task_id: str, step: int) -> None:
        for key in ((subject, None), (subject, task_id)):
            self._taken[key] += step
            # Whoever has no stream leaves no trace.
            if not self._taken[key]:
                del self._taken[key]


class Place:
    """One place, until it is released."""

    def __init__(self, places: StreamPlaces, subject: str, task_id: str) -> None:
        self._places = places
        self._key = (subject, task_id)
        self._held = True

    def release(self) -> None:
        """Gives the place back; once is enough and more does no harm."""
        if self._held:
            self._held = False
            self._places.give_back(*self._key)


class Places:
    """All places of one node; `waits` is how many of that kind a subject may have."""

    def __init__(self, waits: int) -> None:
        self.streams = StreamPlaces()
        self.waits = WaitPlaces(waits)
