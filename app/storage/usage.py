"""What submitters use: counting it from the first quota on, reading it, and counting it anew from the tasks.

The journal counts with each change, in the transaction of the change: whoever looks at tasks and use in one snapshot
sees both or neither. What the tasks of a snapshot come to, less what is written down in it, is therefore missing at any
later time too, and is added while others go on writing. Reading all tasks, a second or so for each million, keeps
nobody waiting. Only when counting begins are the tasks locked, for as long as those who do not count yet need to end.
"""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.protocol.resources import Amounts
from app.storage.database import Database
from app.storage.errors import StorageUnavailable, stood_in_the_way
from app.storage.readings import Readings

RECOUNT_TIMEOUT_S = 600.0
REMEMBERED_S = 10.0

# Two who add what is missing would add it twice. Nobody else is kept waiting: the journal only reads that table.
_ONE_AT_A_TIME = text("LOCK TABLE quota_counting IN SHARE ROW EXCLUSIVE MODE")
# Not only other writers are kept out, also those whose statement has begun: they are waited for.
_NOBODY_WRITES = text("LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE")
_SOON = text("SET LOCAL lock_timeout = '4s'")
_HAS_BEGUN = text("SELECT EXISTS (SELECT FROM quota_counting)")
_IS_COUNTED = text("SELECT EXISTS (SELECT FROM quota_counting WHERE since < 'infinity')")
_BEGIN = text("INSERT INTO quota_counting VALUES ('infinity')")
_ALL_COUNTED = text("UPDATE quota_counting SET since = clock_timestamp() WHERE since = 'infinity'")

_COUNTS = """
SELECT s.submitter, s.queued, s.running, s.stored_bytes, coalesce(h.held, '{{}}') AS held
FROM (
    SELECT submitter, count(*) FILTER (WHERE state IN ('ResourceAllocation', 'Waiting')) AS queued,
        count(*) FILTER (WHERE state = 'Executing') AS running,
        coalesce(sum(octet_length(submission::text) + coalesce(octet_length(result::text), 0)), 0)::bigint
            AS stored_bytes
    FROM tasks WHERE {which} GROUP BY submitter
) AS s
LEFT JOIN (
    SELECT submitter, jsonb_object_agg(unit, amount) AS held
    FROM (
        SELECT t.submitter, a.key AS unit, sum(a.value::bigint)::bigint AS amount
        FROM tasks AS t CROSS JOIN json_each_text(t.allocated) AS a
        WHERE {which} AND t.allocated::text <> '{{}}' GROUP BY t.submitter, a.key
    ) AS each GROUP BY submitter
) AS h ON h.submitter = s.submitter"""
_ALL = _COUNTS.format(which="true")
_ONE = _COUNTS.format(which="submitter = :submitter")

_MISSING = f"""
missing AS (
    SELECT submitter, coalesce(c.queued, 0) - coalesce(u.queued, 0) AS queued,
        coalesce(c.running, 0) - coalesce(u.running, 0) AS running,
        coalesce(c.stored_bytes, 0) - coalesce(u.stored_bytes, 0) AS stored_bytes,
        CASE WHEN c.held = u.held THEN '{{}}' ELSE add_amounts(coalesce(c.held, '{{}}'), (
            SELECT coalesce(jsonb_object_agg(key, -value::bigint), '{{}}') FROM jsonb_each_text(u.held)
        )) END AS held
    FROM ({_ALL}) AS c FULL JOIN quota_usage AS u USING (submitter)
), wrong AS (
    SELECT * FROM missing WHERE (queued, running, stored_bytes, held) <> (0, 0, 0, '{{}}')
)"""
_FIND = text(f"WITH {_MISSING} SELECT submitter FROM wrong ORDER BY submitter")
# One statement, and so one snapshot of tasks and use. In the journal's order, so that neither locks the other out.
_ADD = text(f"""
WITH {_MISSING}, added AS (
    INSERT INTO quota_usage AS u (submitter, queued, running, stored_bytes, held)
    SELECT submitter, queued, running, stored_bytes, held FROM wrong ORDER BY submitter COLLATE "C"
    ON CONFLICT (submitter) DO UPDATE SET queued = u.queued + excluded.queued, running = u.running + excluded.running,
        stored_bytes = u.stored_bytes + excluded.stored_bytes, held = add_amounts(u.held, excluded.held)
    RETURNING submitter
)
SELECT submitter FROM added ORDER BY submitter""")
_READ = text("SELECT queued, running, stored_bytes, held FROM quota_usage WHERE submitter = :submitter")
_READ_FROM_TASKS = text(_ONE)
_CONSUMED = text("""
SELECT coalesce(sum((used ->> 'cpu_s')::double precision), 0) AS cpu_s,
    coalesce(max((used ->> 'peak_memory_mb')::double precision), 0) AS peak_memory_mb, count(*) AS tasks
FROM tasks WHERE submitter = :submitter AND used::text <> '{}'""")


@dataclass(frozen=True, slots=True)
class Use:
    """What one submitter uses now; `held` in thousandths by unit."""

    queued: int = 0
    running: int = 0
    stored_bytes: int = 0
    held: Amounts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a submitter's kept tasks have taken while they ran: CPU seconds in sum, the highest peak of memory."""

    cpu_s: float
    peak_memory_mb: float
    tasks: int


class Usage:
    """See the module's docstring. All raise StorageUnavailable."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._used = Readings[Use](clock)
        self._consumed = Readings[Consumption](clock, REMEMBERED_S)

    async def counted(self) -> bool:
        """Whether the journal counts, and what there was before it did is counted too."""
        async with self._database.connect() as connection:
            return bool((await connection.execute(_IS_COUNTED)).scalar_one())

    async def begin(self) -> None:
        """Lets the journal count from now on, everywhere, and adds what is there; does nothing where that was done."""
        if await self.counted():
            return
        async with self._patient() as database:
            async with _alone(database) as connection:
                if not (await connection.execute(_HAS_BEGUN)).scalar_one():
                    # Whoever waits for this lock keeps others waiting behind it.
                    await connection.execute(_SOON)
                    await connection.execute(_NOBODY_WRITES)
                    await connection.execute(_BEGIN)
            async with _alone(database) as connection:
                # Another node may have been faster.
                if not (await connection.execute(_IS_COUNTED)).scalar_one():
                    await _add_what_is_missing(connection)

    async def recount(self, *, repair: bool = True) -> list[str]:
        """The submitters whose use was counted wrong, corrected unless only asked; none where nothing is counted."""
        async with self._patient() as database, _alone(database) as connection:
            if not (await connection.execute(_HAS_BEGUN)).scalar_one():
                return []
            if repair:
                return await _add_what_is_missing(connection)
            return list((await connection.execute(_FIND)).scalars())

    @asynccontextmanager
    async def _patient(self) -> AsyncIterator[Database]:
        """The same database, and time enough to read all that is in it."""
        patient = Database(self._database.url, pool_size=1, statement_timeout_s=RECOUNT_TIMEOUT_S)
        try:
            yield patient
        except DBAPIError as error:
            if stood_in_the_way(error):
                raise StorageUnavailable("the tasks stay locked by somebody else") from error
            raise
        finally:
            await patient.close()

    async def of(self, submitter: str) -> Use:
        """What the submitter uses; worked out from its tasks while nothing is counted."""
        async with self._database.connect() as connection:
            counted = (await connection.execute(_IS_COUNTED)).scalar_one()
            row = (await connection.execute(_READ, {"submitter": submitter})).first() if counted else None
        return _use(row) if counted else await self._used.of(submitter, lambda: self._read_use(submitter))

    async def consumed(self, submitter: str) -> Consumption:
        """What the submitter's tasks have taken, as it was ten seconds ago or so: all that are kept are read."""
        return await self._consumed.of(submitter, lambda: self._read_consumption(submitter))

    async def _read_use(self, submitter: str) -> Use:
        async with self._database.connect() as connection:
            return _use((await connection.execute(_READ_FROM_TASKS, {"submitter": submitter})).first())

    async def _read_consumption(self, submitter: str) -> Consumption:
        async with self._database.connect() as connection:
            row = (await connection.execute(_CONSUMED, {"submitter": submitter})).one()
        return Consumption(round(row.cpu_s, 6), row.peak_memory_mb, row.tasks)


def _use(row: Row[Any] | None) -> Use:
    return Use() if row is None else Use(row.queued, row.running, row.stored_bytes, json.loads(row.held))


@asynccontextmanager
async def _alone(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction beside which nobody else counts from the tasks."""
    async with database.connect() as connection:
        await connection.execute(_ONE_AT_A_TIME)
        yield connection


async def _add_what_is_missing(connection: AsyncConnection) -> list[str]:
    """Answers for whom something was."""
    found = list((await connection.execute(_ADD)).scalars())
    await connection.execute(_ALL_COUNTED)
    return found
