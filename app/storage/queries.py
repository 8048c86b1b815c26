"""Reading: one task, a submitter's list, a history. Nothing here writes.

`StatusReader` answers the polls and `Heads` the streams: everything asked for while one read is under way goes into
the next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, exists, select, union_all

from app.protocol.history import ERASED, Item, MessageName, Party
from app.protocol.states import State
from app.protocol.task import Task
from app.storage.batching import Batcher
from app.storage.database import Database
from app.storage.rows import COLUMNS, in_order, task_of
from app.storage.tables import history, idempotency_keys, idempotency_keys_before, tasks

_COLUMNS = [tasks.c[name] for name in COLUMNS.split(", ")]
# A join, not ANY: so each id is looked up in the one partition that can hold it.
_READ_MANY = f"""
SELECT {", ".join("t." + name for name in COLUMNS.split(", "))}
FROM unnest($1::uuid[]) AS wanted(task_id) JOIN tasks AS t ON t.task_id = wanted.task_id
WHERE t.task_id BETWEEN $2 AND $3"""
MAX_READ = 500


class StatusReader:
    """Reads single tasks, many callers at once, in batches."""

    def __init__(self, database: Database) -> None:
        self._connection = database.dedicated("reader")
        self._batcher: Batcher[str, Task | None] = Batcher(self._read, MAX_READ)

    async def get(self, task_id: str) -> Task | None:
        """The task as the database has it now, or None. Raises StorageUnavailable."""
        return await self._batcher.submit(task_id)

    async def close(self) -> None:
        """Answers what is waiting and closes the connection."""
        await self._batcher.close()
        await self._connection.close()

    async def _read(self, task_ids: list[str]) -> list[Task | Exception | None]:
        rows = await self._connection.fetch(_READ_MANY, *in_order(set(task_ids)))
        found = {str(row["task_id"]): row for row in rows}
        return [task_of(found[task_id]) if task_id in found else None for task_id in task_ids]


class Heads:
    """Reads how long histories are, many callers at once, in batches: far less than a whole task."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher: Batcher[str, int] = Batcher(self._read, MAX_READ)

    async def get(self, task_id: str) -> int:
        """The sequence of a task's last message; 0 where there is no such task. Raises StorageUnavailable."""
        return await self._batcher.submit(task_id)

    async def _read(self, task_ids: list[str]) -> list[int | Exception]:
        statement = select(tasks.c.task_id, tasks.c.sequence).where(tasks.c.task_id.in_(set(task_ids)))
        async with self._database.connect() as connection:
            found = {row.task_id: row.sequence for row in await connection.execute(statement)}
        return [found.get(task_id, 0) for task_id in task_ids]


@dataclass(frozen=True, slots=True)
class ListFilter:
    """What a list is narrowed to; members that are None or empty narrow nothing. Times are of submission."""

    submitter: str | None = None
    states: tuple[State, ...] = ()
    type: str | None = None
    priority: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    message_id: str | None = None
    submitted_after: datetime | None = None
    submitted_before: datetime | None = None


class Queries:
    """Reads that are not polls, over the shared pool. All raise StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_submission(self, submitter: str, idempotency_key: str) -> Task | None:
        """The accepted task that holds this key of this submitter."""
        holders = union_all(
            *(
                select(keys.c.task_id).where(keys.c.submitter == submitter, keys.c.idempotency_key == idempotency_key)
                for keys in (idempotency_keys, idempotency_keys_before)
            )
        ).subquery()
        statement = select(*_COLUMNS).join(holders, holders.c.task_id == tasks.c.task_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else task_of(row)

    async def list_tasks(self, narrowed: ListFilter, limit: int, before: str | None) -> list[Task]:
        """Tasks newest first, at most `limit`, older than the task `before` (the cursor)."""
        statement = select(*_COLUMNS).where(*_conditions(narrowed)).order_by(tasks.c.task_id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(tasks.c.task_id < before)
        async with self._database.connect() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [task_of(row) for row in rows]

    async def messages(self, task: Task, after: int, limit: int) -> list[Item]:
        """A task's history in order, from the item behind `after`."""
        statement = (
            select(history)
            .where(history.c.task_id == task.task_id, history.c.sequence > after)
            .order_by(history.c.sequence)
            .limit(limit)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(statement)).all()
        return [item_of(row) for row in rows]

    async def has_message_besides(self, name: MessageName, task: Task, after: int, until: int) -> bool:
        """Whether another message than `name` stands in the task's history behind `after` and up to `until`."""
        found = exists().where(
            history.c.task_id == task.task_id,
            history.c.sequence > after,
            history.c.sequence <= until,
            history.c.name != name.value,
        )
        async with self._database.connect() as connection:
            return bool((await connection.execute(select(found))).scalar_one())


def item_of(row: Row[Any]) -> Item:
    """A row of history."""
    return Item(
        row.sequence,
        MessageName(row.name),
        Party(row.sender),
        Party(row.recipient),
        row.recorded_at,
        State(row.status),
        row.message or ERASED,
        row.previous_hash,
        row.hash,
        row.message_digest,
        row.erased_at,
    )


def _conditions(narrowed: ListFilter) -> Sequence[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if narrowed.submitter is not None:
        conditions.append(tasks.c.submitter == narrowed.submitter)
    if narrowed.states:
        conditions.append(tasks.c.state.in_([state.value for state in narrowed.states]))
    if narrowed.type is not None:
        conditions.append(tasks.c.type == narrowed.type)
    if narrowed.priority is not None:
        conditions.append(tasks.c.priority == narrowed.priority)
    if narrowed.message_id is not None:
        conditions.append(tasks.c.message_id == narrowed.message_id)
    conditions.extend(tasks.c.labels.contains({name: value}) for name, value in narrowed.labels)
    if narrowed.submitted_after is not None:
        conditions.append(tasks.c.submitted_at >= narrowed.submitted_after)
    if narrowed.submitted_before is not None:
        conditions.append(tasks.c.submitted_at < narrowed.submitted_before)
    return conditions
