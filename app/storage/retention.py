"""Retention: weeks of tasks are made ahead, and dropped whole when their time has passed; none is deleted in masses.

A week is a partition of `tasks` and one of `history` (see tables.py), so dropping it costs the same however many
tasks it had. What is not over, or ended too lately, outlives its week: it moves into the default partition with its
history, and goes from there one by one later. All of it is done by functions of the schema, with the rights of its
owner and with locks that are given up after half a second: a long reader (a dump) delays pruning and not the service.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError

from app.storage.database import Database
from app.storage.errors import StorageUnavailable, stood_in_the_way
from app.storage.usage import Usage

logger = logging.getLogger("app.storage")

STATEMENT_TIMEOUT_S = 1800.0
ATTEMPTS = 20
PAUSE_S = 1.0
SLICE = 1000

_WEEKS = """
SELECT week, coalesce(pg_total_relation_size(to_regclass('tasks_' || week))
    + pg_total_relation_size(to_regclass('history_' || week)), 0) AS bytes
FROM (
    SELECT substr(relname, 7) AS week FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'tasks'::regclass AND relname ~ '^tasks_[0-9]{4}w[0-9]{2}$'
) AS weeks
WHERE week_ends(week) <= :finished_before ORDER BY week"""

_SURVEY = """
SELECT count(*) FILTER (WHERE finished_at < :finished_before) AS dropped,
    count(*) FILTER (WHERE finished_at IS NULL OR finished_at >= :finished_before) AS kept
FROM tasks
WHERE task_id >= task_id_at(week_ends(:week) - interval '7 days') AND task_id < task_id_at(week_ends(:week))"""

_PRUNE = "SELECT dropped, kept FROM prune_week(:week, :finished_before)"
_PRUNE_STRAGGLERS = "SELECT prune_stragglers(:finished_before)"
_SURVEY_STRAGGLERS = (
    "SELECT count(*) FROM tasks WHERE tableoid = 'tasks_default'::regclass AND finished_at < :finished_before"
)


async def prepare_weeks(database: Database, ahead: int) -> None:
    """Makes the partitions for tasks of this week and so many after it.

    Where the tables stay locked that is left to the next time: weeks are made ahead, and what belongs to none is kept
    in the default partition until its week is made. Raises StorageUnavailable where the database is away.
    """
    try:
        await patiently(database, "SELECT prepare_weeks(:ahead)", {"ahead": ahead}, attempts=4)
    except StillLocked as error:
        logger.warning("the weeks to come are not prepared yet: %s", error)


@dataclass(frozen=True, slots=True)
class PrunedWeek:
    """A week such as 2026w48. `kept` outlive it; `dropped` is None where they are so many that the week stays."""

    week: str
    dropped: int | None
    kept: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Pruning:
    """What one round did, or would do; `stragglers` are tasks that had outlived their week and went now."""

    finished_before: datetime
    weeks: list[PrunedWeek]
    stragglers: int


async def prune(url: str, older_than: timedelta, *, dry_run: bool = False) -> Pruning:
    """Drops the weeks that were over so long ago, and what was finished so long ago of older ones.

    The oldest first, up to one that cannot be dropped: too much of it is not over, or it stays locked. Safe at several
    nodes at once. Raises StillLocked, StorageUnavailable, ValueError for less than a day.
    """
    if older_than < timedelta(days=1):
        raise ValueError("what was finished less than a day ago is not pruned")
    database = Database(url, pool_size=1, statement_timeout_s=STATEMENT_TIMEOUT_S)
    try:
        async with database.connect() as connection:
            now = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
        round_of = _Round(database, now - older_than, dry_run=dry_run)
        pruning = Pruning(now - older_than, await round_of.weeks(), await round_of.stragglers())
        if not dry_run and (pruning.weeks or pruning.stragglers):
            # What is gone no longer counts to anybody's quota.
            await Usage(database).recount()
        return pruning
    finally:
        await database.close()


class StillLocked(StorageUnavailable):
    """The tables could not be locked for a moment, however often it was tried."""


class _Round:
    def __init__(self, database: Database, finished_before: datetime, *, dry_run: bool) -> None:
        self._database = database
        self._finished_before = finished_before
        self._dry_run = dry_run

    async def weeks(self) -> list[PrunedWeek]:
        async with self._database.connect() as connection:
            over = (await connection.execute(text(_WEEKS), {"finished_before": self._finished_before})).all()
        pruned = []
        for week, size in over:
            row = await self._run(_SURVEY if self._dry_run else _PRUNE, week=week)
            pruned.append(PrunedWeek(week, row.dropped, row.kept, size))
            if row.dropped is None:
                logger.warning("week %s stays: %d of its tasks are not over or ended lately", week, row.kept)
                break
            if not self._dry_run:
                logger.info("week %s was dropped: %d tasks, %d outlive it", week, row.dropped, row.kept)
        return pruned

    async def stragglers(self) -> int:
        if self._dry_run:
            return int((await self._run(_SURVEY_STRAGGLERS))[0])
        total = 0
        while True:
            count = int((await self._run(_PRUNE_STRAGGLERS))[0])
            total += count
            if count < SLICE:
                return total

    async def _run(self, statement: str, **values: Any) -> Row[Any]:
        return await patiently(self._database, statement, {"finished_before": self._finished_before, **values})


async def patiently(
    database: Database, statement: str, values: Mapping[str, Any], *, attempts: int = ATTEMPTS, pause_s: float = PAUSE_S
) -> Row[Any]:
    """The one row of a statement that gives up soon where something is locked, tried again at odd intervals.

    Raises StillLocked, StorageUnavailable.
    """
    for attempt in range(1, attempts + 1):
        try:
            async with database.connect() as connection:
                return (await connection.execute(text(statement), values)).one()
        except DBAPIError as error:
            if not stood_in_the_way(error):
                raise
            if attempt == attempts:
                raise StillLocked("somebody reads or locks the tables for long, a dump perhaps") from error
        await asyncio.sleep(pause_s * (0.5 + random.random()))  # noqa: S311 - so that two do not meet again and again
    raise AssertionError("unreachable")
