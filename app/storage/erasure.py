"""Erasing what a task contained: its messages, result, error, labels. What remains is that it was, and its chain."""

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from app.storage.database import Database

logger = logging.getLogger("app.storage")

_ERASE = text("SELECT erased_at, erased_by FROM erase_content(:task_id, :by)")


@dataclass(frozen=True, slots=True)
class Erasure:
    """When the content of a task was erased for the first time, and by whom (a token's subject)."""

    task_id: str
    erased_at: datetime
    erased_by: str


class Erasures:
    """By a function of the schema with its owner's rights: the service itself cannot change a message."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, task_id: str, by: str) -> Erasure | None:
        """Erases the content of a task that is over; None where it is not, or is not there.

        What was erased before keeps its first record; messages that have come since are erased too. Raises
        StorageUnavailable.
        """
        async with self._database.connect() as connection:
            row = (await connection.execute(_ERASE, {"task_id": task_id, "by": by})).first()
        if row is None:
            return None
        logger.info("content erased", extra={"task_id": task_id, "by": by})
        return Erasure(task_id, row.erased_at, row.erased_by)
