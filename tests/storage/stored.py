"""Tasks to store, and what has been stored, read without the code under test."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from app.protocol.history import Item, MessageName, Party, first_break
from app.protocol.messages import RetryPolicy
from app.protocol.quotas import NOTHING_SET, Quota
from app.protocol.states import State
from app.protocol.task import Task
from app.storage.claim import Leases
from app.storage.database import Database, driver_dsn
from app.storage.journal import Journal
from app.storage.lines import Line, Walk, Want
from app.submission.identifiers import new_task_id

_numbers = itertools.count(1)


def submission_text(message_id: str, **specification: Any) -> str:
    """A submit_task message."""
    message = {
        "type": "submit_task",
        "header": {"message_id": message_id, "timestamp": "2026-01-31T10:00:00Z"},
        "body": {"task_specification": {"type": "echo", "parameters": {}, **specification}, "priority": 1},
    }
    return json.dumps(message)


def new_task(**members: Any) -> Task:
    """A task as it is made from a message: no step of its life has been taken."""
    message_id = members.pop("message_id", None) or f"message-{next(_numbers)}"
    standard = {
        "task_id": new_task_id(),
        "message_id": message_id,
        "idempotency_key": message_id,
        "content_digest": b"digest",
        "submitter": "alice",
        "type": "echo",
        "priority": 1,
        "submission": submission_text(message_id),
        "deadline": None,
        "labels": {},
        "requested": {"cpu": 10},
        "timeout_s": 60.0,
        "retry": RetryPolicy(),
        "submitted_at": datetime.now(UTC),
    }
    return Task(**{**standard, **members})


def accepted_task(**members: Any) -> Task:
    """A new task that waits for its resources, not stored yet."""
    task = new_task(**members)
    task.submit(task.submitted_at, valid=True)
    task.accept(task.submitted_at)
    return task


def started(task: Task, owner: str = "node-a") -> Task:
    """Takes an accepted task to its first attempt, leased by `owner`."""
    now = datetime.now(UTC)
    task.lease_owner = owner
    task.allocate(now, owner)
    task.start(now)
    return task


def in_a_while(seconds: float = 60.0) -> datetime:
    """A moment ahead."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


@dataclass
class Store:
    """One node's storage, and a connection of the test's own to look behind it."""

    url: str
    database: Database
    journal: Journal
    leases: Leases
    sql: asyncpg.Connection
    batches: list[int] = field(default_factory=list)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def put(self, *tasks: Task) -> None:
        """Stores new tasks (or changed ones)."""
        for written in [self.journal.commit(task.change()) for task in tasks]:
            await written

    async def row(self, task_id: str) -> asyncpg.Record:
        """A task's row as it is."""
        return await self.sql.fetchrow("SELECT * FROM tasks WHERE task_id = $1", task_id)

    async def items(self, task_id: str) -> list[Item]:
        """A task's history as it is."""
        rows = await self.sql.fetch("SELECT * FROM history WHERE task_id = $1 ORDER BY sequence, recorded_at", task_id)
        return [item_of(row) for row in rows]

    async def unleased(self) -> int:
        """How many tasks nobody holds; safe to ask from many tasks at once."""
        async with self.looking:
            return int(await self.sql.fetchval("SELECT count(*) FROM tasks WHERE lease_owner IS NULL"))

    async def check_whole(self, task_ids: Iterable[str]) -> None:
        """Row and history of each task agree, and its chain is unbroken."""
        for task_id in task_ids:
            row, items = await self.row(task_id), await self.items(task_id)
            assert first_break(task_id, items) is None
            assert (row["sequence"], row["head_hash"]) == (items[-1].sequence, items[-1].hash)
            assert row["state"] == items[-1].status


def item_of(row: asyncpg.Record) -> Item:
    """A history row as the chain reads it."""
    return Item(
        row["sequence"],
        MessageName(row["name"]),
        Party(row["sender"]),
        Party(row["recipient"]),
        row["recorded_at"],
        State(row["status"]),
        row["message"] or "null",
        row["previous_hash"],
        row["hash"],
        row["message_digest"],
        row["erased_at"],
    )


@asynccontextmanager
async def open_store(
    url: str,
    *,
    sql_url: str | None = None,
    node_id: str = "node-a",
    lease_s: float = 15,
    default_quota: Quota = NOTHING_SET,
) -> AsyncIterator[Store]:
    """Opens and closes one node's storage; `sql_url` is where the test looks, if not by the same way."""
    database = Database(url, pool_size=3)
    batches: list[int] = []
    store = Store(
        url,
        database,
        Journal(
            database,
            lease_s=lease_s,
            observe=lambda size, _seconds: batches.append(size),
            default_quota=default_quota,
        ),
        Leases(database, node_id=node_id, lease_s=lease_s),
        await asyncpg.connect(driver_dsn(sql_url or url)),
        batches,
    )
    try:
        yield store
    finally:
        await store.journal.close()
        await store.leases.close()
        await store.database.close()
        await store.sql.close()


FAR = 100_000


async def lines_of(leases: Leases) -> list[Line]:
    """Every line that waits, in order."""
    seen = await leases.look(Walk(None, FAR), Walk(None, FAR), Walk(None, 0))
    return [*seen.near, *seen.far]


async def claim(leases: Leases, limit: int, types: Sequence[str] = ("echo",)) -> list[Task]:
    """Claims up to `limit` tasks, line by line in order, as a node without any of its own would."""
    await lines_of(leases)  # puts back what is due
    taken: list[Task] = []
    for line in await lines_of(leases):
        if line.type in types and len(taken) < limit:
            taken += await leases.claim([Want(line, limit - len(taken))])
    return taken


def ids(tasks: Sequence[Task]) -> list[str]:
    """Their identifiers, in order."""
    return [task.task_id for task in tasks]
