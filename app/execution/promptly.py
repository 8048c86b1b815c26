"""Work that a caller need not wait for to its end: the database may be away for longer than anyone waits."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from app.storage.errors import StorageUnavailable

ANSWER_WITHIN_S = 0.8
"""With what else an answer takes, a caller hears of it within a second."""

_going_on: set[asyncio.Task[None]] = set()


async def promptly(work: Coroutine[Any, Any, None]) -> None:
    """Does the work, and waits for it for as long as a caller may be kept waiting.

    It goes on after that, and after the caller has gone. Raises what the work raises, and StorageUnavailable where it
    takes longer: a repetition will find it done, or still under way.
    """
    task = asyncio.create_task(work)
    _going_on.add(task)
    task.add_done_callback(_over)
    _, late = await asyncio.wait({task}, timeout=ANSWER_WITHIN_S)
    if late:
        raise StorageUnavailable("the change could not be written in time; it is written when the database is back")
    task.result()


def _over(task: asyncio.Task[None]) -> None:
    _going_on.discard(task)
    if not task.cancelled():
        # Looked at: whoever no longer waits has lost interest in a failure too.
        task.exception()
