"""What a handler is given besides its parameters."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import Any

from app.protocol.resources import Resources

ReportProgress = Callable[[float, dict[str, Any]], None]


@dataclass(slots=True)
class TaskContext:
    """One attempt as its handler sees it.

    `attempt` counts from 1. `deadline` is when the attempt will be stopped (the earlier of its timeout and
    the task's own deadline). `allocation` is what was granted, all of it. `logger` adds the task's
    identifiers to every line.
    """

    task_id: str
    message_id: str
    attempt: int
    deadline: datetime | None
    allocation: Resources
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger]
    report: ReportProgress
    cancellation: Event = field(default_factory=Event)

    @property
    def cancelled(self) -> bool:
        """The submitter wants the task to stop: return or raise soon, the attempt is killed after a grace time."""
        return self.cancellation.is_set()

    def progress(self, fraction: float, **details: Any) -> None:
        """Tells the submitter how far the task is, 0..1, with any details that are JSON.

        Cheap to call often: at most ten updates a second are stored, the last always.
        Raises ValueError for a fraction outside 0..1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a fraction between 0 and 1, not {fraction!r}")
        self.report(float(fraction), details)
