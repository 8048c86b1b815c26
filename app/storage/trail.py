"""What heads of the audit trail are made of and checked against: the last messages of tasks, read in bulk."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import asyncpg

from app.protocol.audit_heads import Entry
from app.storage.database import HOT_PLAN, Database
from app.storage.errors import StorageUnavailable, is_unavailable

FETCH = 500
TIMEOUT_S = 3600.0

# While another one holds it, this node makes no heads. Of the session: it ends with the connection.
_LEAD = "SELECT pg_try_advisory_lock(hashtext('task_executor.audit_heads'))"
_ALL = "SELECT task_id::text, sequence, head_hash FROM tasks"
_SINCE = """
SELECT DISTINCT ON (h.task_id) h.task_id::text, h.sequence, h.hash FROM history AS h
WHERE h.written_at >= $1 ORDER BY h.task_id, h.sequence DESC"""

# What fits is not answered. A task is one that retention has dropped only where nothing of it is left, and nobody is
# told that weeks are over which are not.
_DEVIATING = """
SELECT e.task_id::text AS task_id, e.sequence, h.hash AS found, t.sequence AS known,
    t.task_id IS NULL AND e.task_id < least(r.oldest_kept, task_id_at(now() - interval '1 day')) AND NOT EXISTS (
        SELECT FROM history AS any_of WHERE any_of.task_id = e.task_id) AS dropped,
    (SELECT count(*) FROM history AS any_of WHERE any_of.task_id = e.task_id) AS messages,
    CASE WHEN t.task_id IS NOT NULL THEN (
        SELECT min(number) FROM generate_series(1, e.sequence) AS number WHERE NOT EXISTS (
            SELECT FROM history AS any_of WHERE any_of.task_id = e.task_id AND any_of.sequence = number)
    ) END AS missing
FROM unnest($1::uuid[], $2::int[], $3::text[]) AS e(task_id, sequence, hash)
CROSS JOIN retention AS r
LEFT JOIN history AS h ON h.task_id = e.task_id AND h.sequence = e.sequence
LEFT JOIN tasks AS t ON t.task_id = e.task_id
WHERE h.hash IS DISTINCT FROM e.hash OR t.task_id IS NULL OR t.sequence < e.sequence"""


@dataclass(frozen=True, slots=True)
class Deviation:
    """A task that no longer has what a head names: the first message of it that is missing, or the altered one.

    `sequence` is None where nothing is left of the task. `dropped`: that is what retention does.
    """

    task_id: str
    sequence: int | None
    what: str
    dropped: bool = False


class Snapshot:
    """The trail as it is at one moment, `now`, by the database's clock."""

    def __init__(self, connection: asyncpg.Connection, now: datetime) -> None:
        self._connection = connection
        self.now = now

    async def grown(self, since: datetime | None) -> AsyncIterator[list[Entry]]:
        """The last message of each task that has had one since then, or of every task. Raises StorageUnavailable."""
        statement, arguments = (_ALL, ()) if since is None else (_SINCE, (since,))
        with _unavailable():
            cursor = await self._connection.cursor(statement, *arguments, timeout=TIMEOUT_S)
        while rows := await self._fetch(cursor):
            yield [Entry(*row) for row in rows]

    @staticmethod
    async def _fetch(cursor: asyncpg.cursor.Cursor) -> list[asyncpg.Record]:
        with _unavailable():
            rows: list[asyncpg.Record] = await cursor.fetch(FETCH, timeout=TIMEOUT_S)
        return rows


class Trail:
    """A connection of its own: what it reads may take long."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection | None = None

    @property
    def leading(self) -> bool:
        """This is the node that makes heads, unless its connection has ended without a word."""
        return self._connection is not None and not self._connection.is_closed()

    async def lead(self) -> bool:
        """Whether this is the one node that makes heads: it stays so until its connection ends.

        Raises StorageUnavailable.
        """
        if self.leading:
            return True
        with _unavailable():
            connection = await self._database.open(_patient())
            if await connection.fetchval(_LEAD):
                self._connection = connection
                return True
            await connection.close(timeout=1)
        return False

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """What is committed now, for as long as the context lasts. Raises StorageUnavailable."""
        assert self._connection is not None, "it leads"
        try:
            # Where the database turns out to be away, nothing waits for the answer of a network that is silent.
            with _unavailable(), self._database.availability.operation(self._connection.terminate):
                async with self._connection.transaction(isolation="repeatable_read", readonly=True):
                    yield Snapshot(self._connection, await self._connection.fetchval("SELECT clock_timestamp()"))
        except StorageUnavailable:
            # A connection in doubt is not used again, and nobody leads by it.
            self._connection.terminate()
            raise

    async def close(self) -> None:
        """Ends the connection, and the lead with it."""
        if self._connection is not None:
            self._connection.terminate()


class Checker:
    """Compares entries with what is recorded now. An asynchronous context manager."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection | None = None

    async def __aenter__(self) -> Self:
        with _unavailable():
            self._connection = await self._database.open({**HOT_PLAN, **_patient()})
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._connection is not None, "it has begun"
        await self._connection.close(timeout=5)

    async def deviations(self, entries: Sequence[Entry]) -> list[Deviation]:
        """Those that no longer hold. Raises StorageUnavailable."""
        assert self._connection is not None, "it has begun"
        columns = [list(column) for column in zip(*entries, strict=True)]
        with _unavailable():
            rows = await self._connection.fetch(_DEVIATING, *columns, timeout=TIMEOUT_S) if columns else []
        return [_deviation(row) for row in rows]


def _deviation(row: asyncpg.Record) -> Deviation:
    task_id, sequence = row["task_id"], row["sequence"]
    if row["dropped"]:
        return Deviation(task_id, None, "dropped by retention", dropped=True)
    if row["known"] is None and not row["messages"]:
        return Deviation(task_id, None, "the task and all of its messages are missing")
    if row["missing"] is not None:
        return Deviation(task_id, row["missing"], f"missing: the head knows of {sequence} messages")
    if row["known"] is None:
        return Deviation(task_id, sequence, "the task itself is missing")
    if row["known"] < sequence:
        return Deviation(task_id, row["known"] + 1, f"the task was set back: the head knows of {sequence} messages")
    return Deviation(task_id, sequence, "altered: it, or one before it, is another one than the head knows")


def _patient() -> dict[str, str]:
    return {"statement_timeout": f"{TIMEOUT_S * 1000:.0f}", "idle_in_transaction_session_timeout": "60000"}


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except StorageUnavailable:
        raise
    except Exception as error:
        if is_unavailable(error):
            raise StorageUnavailable(str(error)) from error
        raise
