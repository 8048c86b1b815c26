"""Attempts to hand to a backend, with what happens to them recorded."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.execution.backends.backend import Attempt
from app.protocol.resources import Resources
from app.task_types import TaskType

GRANT = Resources(cpu=1, memory_mb=256)
DEADLINE = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
_numbers = itertools.count(1)


@dataclass
class Recorded:
    """An attempt, and its progress as it came."""

    attempt: Attempt
    progress: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first progress."""

    def note(self, fraction: float, details: dict[str, Any]) -> None:
        """Takes one progress."""
        self.progress.append((fraction, details))
        self.began.set()


def kind_of(handler: Callable[..., Any]) -> TaskType:
    """The kind of task that a decorated function makes."""
    kind: TaskType = handler.__task_type__  # type: ignore[attr-defined]
    return kind


def record(handler: Callable[..., Any], allocation: Resources = GRANT, **parameters: Any) -> Recorded:
    """An attempt at a task of this kind."""

    def note(fraction: float, details: dict[str, Any]) -> None:
        recorded.note(fraction, details)

    recorded = Recorded(
        Attempt(
            task_id=f"task-{next(_numbers)}",
            message_id="message-1",
            number=2,
            kind=kind_of(handler),
            parameters=parameters,
            allocation=allocation,
            deadline=DEADLINE,
            on_progress=note,
        )
    )
    return recorded
