"""The journal's statement as it is sent: without counting while no quota was ever set, with it from then on."""

from typing import Any

import asyncpg

from app.protocol.quotas import Quota
from app.storage.callbacks import callback_arguments
from app.storage.counting import reckon
from app.storage.database import DedicatedConnection
from app.storage.errors import QuotaExceeded, StorageUnavailable
from app.storage.folding import Fold
from app.storage.statement import (
    CALLBACK_STATEMENT,
    COUNTING_CALLBACK_STATEMENT,
    COUNTING_STATEMENT,
    STATEMENT,
    arguments,
)

_OPEN = "INSERT INTO quota_usage (submitter) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
_TRIES = 3

Outcome = tuple[set[str], dict[str, Exception]]
"""The tasks that were written, and those that a quota stands against."""


class Ledger:
    """Writes batches over one connection. What quotas the submitters have, the statement itself looks up.

    `default` is what counts for those for whom nothing is set. That use is counted is learned from the database: the
    statement without counting writes nothing then. It never ends again, so this is asked for once.
    """

    def __init__(self, connection: DedicatedConnection, default: Quota) -> None:
        self._connection = connection
        self._default = default
        self._counting = False
        # Submitters whose row of use is there: rows are made before they are needed, so that there is one to lock.
        self._opened: set[str] = set()

    async def write(self, lease_s: float, folds: list[Fold]) -> Outcome:
        """One transaction for all. Raises StorageUnavailable, and whatever Postgres says of values it cannot take."""
        for _ in range(_TRIES):
            rows = await self._write(lease_s, folds)
            word = {row["policy"] for row in rows if row["task_id"] is None}
            if not word:
                return _outcome(rows)
            self._counting = self._counting or "counting" in word
            if "unknown" in word:
                self._opened.clear()
        raise StorageUnavailable("what submitters use could not be counted")

    async def close(self) -> None:
        """Closes the connection."""
        await self._connection.close()

    async def _write(self, lease_s: float, folds: list[Fold]) -> list[asyncpg.Record]:
        values: list[Any] = arguments(folds)
        called = callback_arguments(folds)
        if not self._counting:
            statement = STATEMENT if called is None else CALLBACK_STATEMENT
            return await self._connection.fetch(statement, lease_s, *values, *(called or ()))
        reckoning = reckon(folds, self._default)
        if missing := [name for name in reckoning.names if name not in self._opened]:
            await self._connection.fetch(_OPEN, missing)
            self._opened.update(missing)
        statement = COUNTING_STATEMENT if called is None else COUNTING_CALLBACK_STATEMENT
        return await self._connection.fetch(statement, lease_s, *values, *reckoning.arguments, *(called or ()))


def _outcome(rows: list[asyncpg.Record]) -> Outcome:
    refused: dict[str, Exception] = {
        str(row["task_id"]): QuotaExceeded(row["policy"], row["quota"], row["used"]) for row in rows if row["policy"]
    }
    return {str(row["task_id"]) for row in rows if row["policy"] is None}, refused
