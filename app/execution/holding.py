"""A task that this node holds, and the way its steps get into the journal."""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.clock import utc_now
from app.execution.backends.backend import StopSignal
from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.storage.errors import Conflict, QuotaExceeded
from app.storage.journal import Journal
from app.task_types.definition import TaskType

Step = Callable[[Task, datetime], None]


@dataclass(slots=True, eq=False)
class Holding:
    """A leased task: it waits for its resources, or one of its attempts runs.

    `requested_at` is when it asked for resources; `kept_at`, on the event loop's clock, since when its lease runs for
    all that this node knows. `lost` says that the lease has gone to another holder: nothing more
    is written. `held_back` is the quota that stands against its start.
    """

    task: Task
    kind: TaskType
    parameters: dict[str, Any]
    requested_at: float
    stop: StopSignal = field(default_factory=StopSignal)
    attempt: asyncio.Task[None] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    lost: bool = False
    held_back: QuotaExceeded | None = None
    kept_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def lose(self) -> None:
        """The lease is another's: its attempt stops, and nothing more is written."""
        self.lost = True
        self.stop.set(Reason.EXECUTOR_LOST)


class Recorder:
    """Takes the steps of held tasks to the journal, those of one task in their order."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def record(self, holding: Holding, *steps: Step) -> None:
        """The steps, taken now and written as one change; waits out a database that is away.

        Raises Conflict where the task is no longer this node's, QuotaExceeded where it may not start now.
        A change that was refused ends it all: the version that it would have led to may by now be that of the next
        holder, and what is made on it would pass the fence.
        """
        async with holding.turn:
            if holding.lost:
                raise Conflict
            now = utc_now()
            for step in steps:
                step(holding.task, now)
            try:
                await self._journal.commit_surely(holding.task.change())
            except (Conflict, QuotaExceeded):
                holding.lose()
                raise


def queue_age_s(holdings: Iterable[Holding], now: datetime) -> float:
    """How long the oldest of the tasks that wait has waited, in seconds; 0 where none waits."""
    waiting = (holding.task.submitted_at for holding in holdings if holding.attempt is None)
    return max(0.0, (now - min(waiting, default=now)).total_seconds())


def parameters_of(task: Task) -> dict[str, Any]:
    """The parameters in the task's submission; none of one that came encrypted, which is opened when it runs."""
    return {} if task.encryption_json is not None else parameters_in(task.submission)


def parameters_in(submission: str) -> dict[str, Any]:
    """The parameters in the text of a submit_task message."""
    parameters: dict[str, Any] = json.loads(submission)["body"]["task_specification"].get("parameters", {})
    return parameters
