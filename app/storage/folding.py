"""A batch for the journal: several changes of one task become one row update and all of their messages."""

from dataclasses import dataclass
from typing import Any

from app.protocol.change import Change
from app.protocol.history import Item
from app.protocol.quotas import Counts, difference
from app.protocol.task import Task
from app.storage.rows import standing_of


@dataclass(slots=True)
class Entry:
    """A change as it waits: its values are taken when it comes in, the task may be stepped on meanwhile."""

    change: Change
    standing: tuple[Any, ...]

    @classmethod
    def of(cls, change: Change) -> "Entry":
        """The change with its task's standing as it is now."""
        return cls(change, standing_of(change.task))


@dataclass(slots=True)
class Fold:
    """The changes of one task in one batch, each made on the one before it; `version` is what they lead to."""

    task: Task
    guard: int | None
    version: int
    standing: tuple[Any, ...]
    items: list[Item]
    positions: list[int]
    first: Change
    last: Change

    @property
    def counts(self) -> Counts:
        """What the changes together add to their submitter's use."""
        return difference(self.first.before, self.last.after, self.task.submission)


def fold_changes(entries: list[Entry]) -> tuple[list[Fold], list[int]]:
    """The changes folded by task, and the positions of those that do not follow from the one before.

    Two that were made on the same version by different readers (two cancels at once) are rivals: only one of them
    may be written, and the guard has to tell which.
    """
    folds: dict[str, Fold] = {}
    rivals: list[int] = []
    for position, entry in enumerate(entries):
        change = entry.change
        fold = folds.get(change.task.task_id)
        if fold is None:
            version = (change.guard or 0) + 1
            folds[change.task.task_id] = Fold(
                change.task, change.guard, version, entry.standing, list(change.items), [position], change, change
            )
        elif fold.task is change.task and fold.version == change.guard:
            fold.version += 1
            fold.standing = entry.standing
            fold.items.extend(change.items)
            fold.positions.append(position)
            fold.last = change
        else:
            rivals.append(position)
    return list(folds.values()), rivals
