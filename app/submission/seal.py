"""How the content of a message is kept, and recognised when it comes again: in plain, or sealed (see encrypted.py)."""

from datetime import datetime
from typing import Any, Protocol

from app.protocol.task import Task
from app.submission.idempotency import content_digest


class Seal(Protocol):
    """How the content of one message that came encrypted is kept."""

    def close(self, task: Task, content: Any, now: datetime, *, valid: bool) -> None:
        """Seals the task's submission, takes its digest by `content`, and records SubmitTask as it was sent."""

    def hide(self, error: dict[str, Any]) -> dict[str, Any]:
        """An error that speaks of the content, for who may read it."""

    async def is_same(self, known: Task, content: Any) -> bool:
        """Whether a task that was accepted before has the same content."""


async def is_same(known: Task, content: Any, seal: Seal | None) -> bool:
    """Whether the content is that of a task that was accepted before. Raises ContentUnavailable."""
    return known.content_digest == content_digest(content) if seal is None else await seal.is_same(known, content)
