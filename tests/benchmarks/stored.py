"""Looking into the database: is everything completed, how long did tasks wait?"""

import json
import secrets
import time
from datetime import UTC, datetime
from time import perf_counter

import asyncpg

from app.protocol.messages import RetryPolicy
from app.protocol.task import Task
from app.storage.database import Database, driver_dsn
from app.storage.journal import Journal
from app.submission.identifiers import new_task_id
from tests.benchmarks.figures import Figures
from tests.benchmarks.requests import message
from tests.support.waiting import eventually

IDLE_WITHIN_S = 120.0
WAVE = 2_000

# Both look at partial indexes that are empty at rest, so that asking costs the service nothing.
_IDLE = """
SELECT NOT EXISTS (SELECT 1 FROM tasks WHERE lease_owner IS NOT NULL)
   AND NOT EXISTS (SELECT 1 FROM tasks WHERE state = 'ResourceAllocation' AND lease_owner IS NULL)"""

_PICKUP = """
SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - submitted_at))
FROM tasks WHERE submitted_at >= $1"""

_SPAN = """
SELECT count(*) FILTER (WHERE state = 'Completed') AS completed, count(*) AS tasks,
       extract(epoch FROM max(finished_at) - min(started_at))::float AS seconds
FROM tasks WHERE submitted_at >= $1"""


class Stored:
    """The tasks in one database, seen from outside of the service."""

    def __init__(self, connection: asyncpg.Connection, url: str) -> None:
        self._connection = connection
        self._url = url

    @classmethod
    async def at(cls, url: str) -> "Stored":
        """Connected to the database."""
        return cls(await asyncpg.connect(driver_dsn(url)), url)

    async def close(self) -> None:
        """Hangs up."""
        await self._connection.close()

    async def backend_id(self) -> int:
        """The process in Postgres that serves this connection."""
        return int(await self._connection.fetchval("SELECT pg_backend_pid()"))

    async def idle(self) -> float:
        """Waits until every task is over; answers when, as `perf_counter` tells it."""

        async def is_idle() -> bool:
            return bool(await self._connection.fetchval(_IDLE))

        await eventually(is_idle, "every task is over", IDLE_WITHIN_S)
        return perf_counter()

    async def check_completed(self, since: datetime) -> int:
        """How many tasks there are since then; all of them must be completed."""
        row = await self._connection.fetchrow(_SPAN, since)
        assert row["completed"] == row["tasks"], f"{row['tasks'] - row['completed']} tasks are not completed"
        return int(row["tasks"])

    async def pickup(self, since: datetime) -> Figures:
        """From a task's submission to its start."""
        half, most = await self._connection.fetchval(_PICKUP, since)
        return {"pickup_p50_ms": round(1000 * half, 2), "pickup_p99_ms": round(1000 * most, 2)}

    async def drain(self, since: datetime) -> Figures:
        """Tasks a second from the first start to the last end."""
        await self.idle()
        count = await self.check_completed(since)
        seconds = (await self._connection.fetchrow(_SPAN, since))["seconds"]
        return {"tasks": count, "per_s": round(count / seconds)}

    async def store(self, count: int) -> None:
        """Puts accepted tasks into the journal that no node holds, as a service does whose node is full."""
        database = Database(self._url)
        journal = Journal(database, lease_s=15, observe=lambda _count, _seconds: None)
        for stored in range(0, count, WAVE):
            committed = [journal.commit(_accepted_task().change()) for _ in range(min(WAVE, count - stored))]
            for each in committed:
                await each
        await journal.close()
        await database.close()
        await self._connection.execute("ANALYZE tasks")


def _accepted_task() -> Task:
    now = datetime.now(UTC)
    message_id = f"stored-{time.time_ns()}-{secrets.token_hex(4)}"
    task = Task(
        task_id=new_task_id(),
        message_id=message_id,
        idempotency_key=message_id,
        content_digest=b"",
        submitter="bench",
        type="echo",
        priority=1,
        submission=json.dumps(message(message_id)),
        deadline=None,
        labels={},
        requested={"cpu": 10, "memory_mb": 1000},
        timeout_s=60,
        retry=RetryPolicy(),
        submitted_at=now,
    )
    task.submit(now, valid=True)
    task.accept(now)
    return task
