"""How many streams there may be at once: a stream costs a connection and memory for as long as it lasts."""

from collections import Counter

PER_SUBJECT = 100
PER_TASK = 5


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
