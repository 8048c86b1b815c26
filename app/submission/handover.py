"""The way from an accepted task to its execution, and what a quota that stands against its start means for it."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from app.protocol.task import Task
from app.storage.errors import OF_STARTS, QuotaExceeded

Answer = TypeVar("Answer")


class Handover(Protocol):
    """The way from an accepted task to its execution without a detour through the database."""

    def reserve(self, task: Task) -> bool:
        """This node takes the task at once: it is leased to it, and started where its resources are free."""

    def deliver(self, task: Task, parameters: dict[str, Any]) -> None:
        """The reserved task is durable: execute it."""

    def withdraw(self, task: Task, refusal: Exception | None = None) -> None:
        """The reserved task was not stored after all; `refusal` is why, where that is known."""

    def announce(self, task: Task) -> None:
        """A task was stored that nobody has reserved."""


async def started_or_not(accept: Callable[[], Awaitable[Answer]]) -> Answer:
    """What `accept` answers. Where a quota is against the start alone, the task is stored without it the second time.

    The first refusal has told the handover, which then reserves no start for this submitter.
    """
    try:
        return await accept()
    except QuotaExceeded as refusal:
        if refusal.policy not in OF_STARTS:
            raise
    return await accept()
