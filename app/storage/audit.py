"""Verifying the histories of all tasks: streamed, one task in memory at a time."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Row, text

from app.protocol.history import ERASED, GENESIS, first_break
from app.storage.database import Database
from app.storage.queries import item_of

FETCH = 1000

_HISTORY = """
SELECT h.*, t.head_hash AS row_head, t.sequence AS row_sequence
FROM history AS h LEFT JOIN tasks AS t ON t.task_id = h.task_id {where} ORDER BY h.task_id, h.sequence"""
_WITHOUT_HISTORY = """
SELECT t.task_id FROM tasks AS t
WHERE NOT EXISTS (SELECT FROM history AS h WHERE h.task_id = t.task_id) {and_where} ORDER BY t.task_id"""


@dataclass(frozen=True, slots=True)
class Break:
    """The first message of a task that was altered, is missing or was moved; None where all of them are gone."""

    task_id: str
    sequence: int | None
    what: str


@dataclass(slots=True)
class Verified:
    """What was looked at, and what of it is not as it was recorded."""

    tasks: int
    messages: int
    erased: int
    breaks: list[Break]


async def verify(database: Database, task_id: str | None = None) -> Verified:
    """Checks the chain of each task (or of one) against itself and against the task's row. Raises StorageUnavailable.

    All of it is one snapshot, so that tasks that go on meanwhile do not matter. A tail that was cut off is found where
    the row still knows it.
    """
    verified = Verified(0, 0, 0, [])
    async with database.connect() as connection:
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        values = {} if task_id is None else {"task_id": task_id}
        where = "" if task_id is None else "WHERE h.task_id = CAST(:task_id AS uuid)"
        rows = await connection.stream(text(_HISTORY.format(where=where)).execution_options(yield_per=FETCH), values)
        async for of_task in _by_task(rows):
            _check(of_task, verified)
        and_where = "" if task_id is None else "AND t.task_id = CAST(:task_id AS uuid)"
        for row in await connection.execute(text(_WITHOUT_HISTORY.format(and_where=and_where)), values):
            verified.tasks += 1
            verified.breaks.append(Break(str(row.task_id), None, "all of its messages are missing"))
    return verified


async def _by_task(rows: AsyncIterator[Row[Any]]) -> AsyncIterator[list[Row[Any]]]:
    found: list[Row[Any]] = []
    async for row in rows:
        if found and row.task_id != found[0].task_id:
            yield found
            found = []
        found.append(row)
    if found:
        yield found


def _check(rows: list[Row[Any]], verified: Verified) -> None:
    task_id = str(rows[0].task_id)
    items = [item_of(row) for row in rows]
    verified.tasks += 1
    verified.messages += len(items)
    verified.erased += sum(item.message == ERASED for item in items)
    broken, last = first_break(task_id, items), rows[-1]
    if broken is not None:
        verified.breaks.append(Break(task_id, broken, _what(rows, broken)))
    elif last.row_sequence is None:
        verified.breaks.append(Break(task_id, items[-1].sequence, "the task itself is missing"))
    elif (last.row_sequence, last.row_head) != (last.sequence, last.hash):
        verified.breaks.append(Break(task_id, last.sequence + 1, "missing: the task knows of later messages"))


def _what(rows: list[Row[Any]], sequence: int) -> str:
    numbers = [row.sequence for row in rows]
    if numbers[0] != 1 or any(second != first + 1 for first, second in pairwise(numbers)):
        return "missing" if sequence not in numbers else "moved"
    row = rows[sequence - 1]
    before = GENESIS if sequence == 1 else rows[sequence - 2].hash
    return "altered" if row.previous_hash == before else "altered, or the message before it was replaced"
