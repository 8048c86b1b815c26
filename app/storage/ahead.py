"""What is ahead of a task that no node has at hand yet, or that another node has: counted off indexes, within bounds.

The order between submitters is settled only where tasks are started. Here each other submitter of the same priority is
taken to have as many served before as the task's own submitter has, which is what a fair share of equal tasks comes to.
"""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from app.protocol.task import Task
from app.storage.database import Database
from app.storage.lines import (
    BEFORE_PRIORITY,
    BEFORE_SUBMITTER,
    BEHIND_PRIORITY,
    BEHIND_SUBMITTER,
    KEY,
    ORDER,
    WAITS,
)
from app.storage.marks import Marks

MOST_READ = 10_000
"""Index entries read at the most of what is more urgent, and of the submitter's own."""

MOST_DEAD_S = 0.2
"""Where a sweep takes Postgres so many seconds for what is dead (see marks.py), nothing is counted: that would pass all
of it several times."""

MOST_SUBMITTERS = 64
MOST_OF_ONE = 200
"""Other submitters of the same priority that are looked at, and tasks of each."""

_BEFORE = "(coalesce(deadline, 'infinity'), task_id) < (coalesce($3::timestamptz, 'infinity'), $4::uuid)"

_OF_SUBMITTER = f"{KEY} > {BEFORE_SUBMITTER} AND {KEY} < {BEHIND_SUBMITTER}"

# 1: more urgent; 2: the submitter's own before it; 3: of others; the rest says how much was read.
_STORED = f"""
WITH RECURSIVE urgent AS (
    SELECT type, shape FROM tasks WHERE {WAITS} AND {KEY} < {BEFORE_PRIORITY.format(priority="$1::integer")}
    ORDER BY {ORDER} LIMIT {MOST_READ + 1}
), own_read AS (
    SELECT type, shape, deadline, task_id FROM tasks
    WHERE {WAITS} AND {_OF_SUBMITTER.format(priority="$1::integer", submitter="$2::text")}
    ORDER BY {ORDER} LIMIT {MOST_READ + 1}
), own AS (
    SELECT type, shape FROM own_read WHERE {_BEFORE}
), walk AS (
    SELECT 0 AS step, ''::text AS submitter
    UNION ALL
    SELECT w.step + 1, n.submitter FROM walk AS w CROSS JOIN LATERAL (
        SELECT submitter FROM tasks
        WHERE {WAITS} AND {KEY} > {BEHIND_SUBMITTER.format(priority="$1::integer", submitter="w.submitter")}
            AND {KEY} < {BEHIND_PRIORITY.format(priority="$1::integer")}
        ORDER BY {KEY} LIMIT 1
    ) AS n
    WHERE w.step <= {MOST_SUBMITTERS}
), others AS (
    SELECT w.submitter, f.type, f.shape FROM walk AS w CROSS JOIN LATERAL (
        SELECT type, shape FROM tasks
        WHERE {WAITS} AND {_OF_SUBMITTER.format(priority="$1::integer", submitter="w.submitter")}
        ORDER BY {ORDER} LIMIT least((SELECT count(*) FROM own) + 1, {MOST_OF_ONE})
    ) AS f
    WHERE w.step > 0 AND w.submitter <> $2
)
SELECT 1 AS part, type, shape, count(*) AS number FROM urgent GROUP BY type, shape
UNION ALL SELECT 2, type, shape, count(*) FROM own GROUP BY type, shape
UNION ALL SELECT 3, type, shape, count(*) FROM others GROUP BY type, shape
UNION ALL SELECT 4, NULL, NULL, count(*) FROM own_read
UNION ALL SELECT 5, NULL, NULL, max(step) FROM walk
UNION ALL SELECT 6, NULL, NULL, max(number) FROM (SELECT count(*) AS number FROM others GROUP BY submitter) AS each"""

_HELD = f"""
SELECT priority < $1 AS urgent, submitter = $2 AS own, submitter, type, shape, count(*) AS number,
    count(*) FILTER (WHERE {_BEFORE}) AS before
FROM (
    SELECT priority, submitter, type, shape, deadline, task_id FROM tasks
    WHERE lease_owner = ANY($5::text[]) AND state IN ('ResourceAllocation', 'Waiting') AND task_id <> $4
    LIMIT {MOST_READ + 1}
) AS held
WHERE priority <= $1 GROUP BY priority, submitter, type, shape"""

Sort = tuple[str, str]
"""A kind of task, and what it asks for (as the text of a shape)."""


class Before(NamedTuple):
    """What is ahead of a task, by sort. Where `complete` is false there is more than was counted."""

    sorts: dict[Sort, int]
    complete: bool

    @property
    def number(self) -> int:
        """How many tasks."""
        return sum(self.sorts.values())


class AheadReader:
    """Counts what is ahead of a task: one count at a time, over its own connection: no poll waits for it."""

    def __init__(self, database: Database, marks: Marks) -> None:
        self._marks = marks
        self._connection = database.dedicated("ahead")

    async def of_stored(self, task: Task) -> Before:
        """What is ahead of a task that no node holds, among all that no node holds. Raises StorageUnavailable."""
        if self._marks.sweep_s > MOST_DEAD_S:
            return Before({}, complete=False)
        return _stored(await self._connection.fetch(_STORED, *_place_of(task)))

    async def of_held(self, task: Task, node_ids: Sequence[str]) -> Before:
        """What is ahead of a task among all that wait on these nodes. Raises StorageUnavailable."""
        return _held(await self._connection.fetch(_HELD, *_place_of(task), node_ids))

    async def close(self) -> None:
        """Closes the connection."""
        await self._connection.close()


def _place_of(task: Task) -> tuple[object, ...]:
    return task.priority, task.submitter, task.deadline, task.task_id


def _stored(rows: list[asyncpg.Record]) -> Before:
    sorts: dict[Sort, int] = {}
    parts = dict.fromkeys(range(1, 7), 0)
    for part, kind, shape, number in rows:
        parts[part] += number or 0
        if kind is not None:
            sorts[kind, shape] = sorts.get((kind, shape), 0) + number
    _, _, _, own_read, walked, most_of_one = parts.values()
    all_of_others = walked <= MOST_SUBMITTERS and (parts[2] < MOST_OF_ONE or most_of_one < MOST_OF_ONE)
    return Before(sorts, parts[1] <= MOST_READ and own_read <= MOST_READ and all_of_others)


def _held(rows: list[asyncpg.Record]) -> Before:
    sorts: dict[Sort, int] = {}
    own_before = sum(row["before"] for row in rows if row["own"] and not row["urgent"])
    left: dict[str, int] = {}
    for row in rows:
        number = row["number"]
        if not row["urgent"]:
            of_others = left.setdefault(row["submitter"], own_before + 1)
            number = row["before"] if row["own"] else min(number, of_others)
            left[row["submitter"]] -= number
        sort = row["type"], row["shape"]
        sorts[sort] = sorts.get(sort, 0) + number
    return Before(sorts, sum(row["number"] for row in rows) <= MOST_READ)
