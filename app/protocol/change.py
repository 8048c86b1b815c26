"""What a step of a task leaves to be written."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.protocol.history import Item
from app.protocol.quotas import Account

if TYPE_CHECKING:
    from app.protocol.task import Task


@dataclass(slots=True, frozen=True)
class Change:
    """What the journal writes: `task` as it is now, guarded by the version it was read at, and its new messages.

    A task without `guard` is new; `before` and `after` are what counts of it to a quota then and now. `task` must not
    be stepped further by others until the change is committed; stepping it further oneself and handing over a second
    change is fine, the journal folds the two.
    """

    task: "Task"
    guard: int | None
    items: tuple[Item, ...]
    before: Account | None
    after: Account
