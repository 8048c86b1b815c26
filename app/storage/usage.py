"""What submitters use: counting it from the first quota on, reading it, and counting it anew from the tasks.

The journal counts with each change. A count from the tasks is made while nobody can write any: the table is locked, for
a second or so for each million of tasks. That happens once in a database's life (when the first quota is set), and
where an operator or a removal of old tasks asks for it.
"""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.protocol.resources import Amounts
from app.storage.database import Database
from app.storage.errors import StorageUnavailable, stood_in_the_way

RECOUNT_TIMEOUT_S = 600.0
REMEMBERED_S = 10.0
REMEMBERED = 1000

# Not only other writers are kept out, also those whose statement has begun: they are waited for.
_LOCK = text("LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE")
_SOON = text("SET LOCAL lock_timeout = '4s'")
_IS_COUNTED = text("SELECT EXISTS (SELECT FROM quota_counting)")
_BEGIN = text("INSERT INTO quota_counting SELECT clock_timestamp() WHERE NOT EXISTS (SELECT FROM quota_counting)")

_COUNTS = """
SELECT s.submitter, s.queued, s.running, s.stored_bytes, coalesce(h.held, '{{}}') AS held
FROM (
    SELECT submitter, count(*) FILTER (WHERE state IN ('ResourceAllocation', 'Waiting')) AS queued,
        count(*) FILTER (WHERE state = 'Executing') AS running,
        coalesce(sum(octet_length(submission::text) + coalesce(octet_length(result::text), 0)), 0)::bigint
            AS stored_bytes
    FROM tasks {where} GROUP BY submitter
) AS s
LEFT JOIN (
    SELECT submitter, jsonb_object_agg(unit, amount) AS held
    FROM (
        SELECT t.submitter, a.key AS unit, sum(a.value::bigint)::bigint AS amount
        FROM tasks AS t CROSS JOIN json_each_text(t.allocated) AS a {where} GROUP BY t.submitter, a.key
    ) AS each GROUP BY submitter
) AS h ON h.submitter = s.submitter"""
_ALL = _COUNTS.format(where="")
_ONE = _COUNTS.format(where="WHERE submitter = :submitter")

_WRONG = text(f"""
WITH counts AS ({_ALL})
SELECT coalesce(c.submitter, u.submitter) AS submitter
FROM counts AS c FULL JOIN quota_usage AS u ON u.submitter = c.submitter
WHERE (coalesce(c.queued, 0), coalesce(c.running, 0), coalesce(c.stored_bytes, 0), coalesce(c.held, '{{}}'))
    IS DISTINCT FROM
    (coalesce(u.queued, 0), coalesce(u.running, 0), coalesce(u.stored_bytes, 0), coalesce(u.held, '{{}}'))
ORDER BY 1""")
_CLEAR = text("UPDATE quota_usage SET queued = 0, running = 0, stored_bytes = 0, held = '{}'")
_STORE = text(f"""
INSERT INTO quota_usage (submitter, queued, running, stored_bytes, held) {_ALL}
ON CONFLICT (submitter) DO UPDATE SET queued = excluded.queued, running = excluded.running,
    stored_bytes = excluded.stored_bytes, held = excluded.held""")
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
        self._clock = clock
        self._consumed: dict[str, tuple[float, Consumption]] = {}

    async def counted(self) -> bool:
        """Whether the journal counts."""
        async with self._database.connect() as connection:
            return bool((await connection.execute(_IS_COUNTED)).scalar_one())

    async def begin(self) -> None:
        """Lets the journal count from now on, everywhere; does nothing where it does so already."""
        if await self.counted():
            return
        async with self._nobody_writes() as connection:
            # Another node may have been faster.
            if (await connection.execute(_BEGIN)).rowcount:
                await _store(connection)

    async def recount(self, *, repair: bool = True) -> list[str]:
        """The submitters whose use was counted wrong, corrected unless only asked; none where nothing is counted."""
        if not await self.counted():
            return []
        async with self._nobody_writes() as connection:
            wrong = list((await connection.execute(_WRONG)).scalars())
            if wrong and repair:
                await _store(connection)
            return wrong

    @asynccontextmanager
    async def _nobody_writes(self) -> AsyncIterator[AsyncConnection]:
        """A transaction beside which nothing is written to any task."""
        patient = Database(self._database.url, pool_size=1, statement_timeout_s=RECOUNT_TIMEOUT_S)
        try:
            async with patient.connect() as connection:
                # Whoever waits for the lock keeps others waiting behind it.
                await connection.execute(_SOON)
                await connection.execute(_LOCK)
                yield connection
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
            statement = _READ if counted else _READ_FROM_TASKS
            row = (await connection.execute(statement, {"submitter": submitter})).first()
        if row is None:
            return Use()
        return Use(row.queued, row.running, row.stored_bytes, json.loads(row.held))

    async def consumed(self, submitter: str) -> Consumption:
        """What the submitter's tasks have taken, as it was up to ten seconds ago: all that are kept are read for it."""
        known = self._consumed.get(submitter)
        if known is not None and self._clock() < known[0] + REMEMBERED_S:
            return known[1]
        async with self._database.connect() as connection:
            row = (await connection.execute(_CONSUMED, {"submitter": submitter})).one()
        if len(self._consumed) >= REMEMBERED:
            self._consumed.clear()
        consumption = Consumption(round(row.cpu_s, 6), row.peak_memory_mb, row.tasks)
        self._consumed[submitter] = (self._clock(), consumption)
        return consumption


async def _store(connection: AsyncConnection) -> None:
    await connection.execute(_CLEAR)
    await connection.execute(_STORE)
