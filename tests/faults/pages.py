"""The checker over a database of any size: tasks come in pages with their histories, and only what is found is kept."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg

from app.protocol.times import parse_time
from tests.faults.evidence import Evidence, Message
from tests.faults.invariants import of_each_task, of_the_whole, read_database

PAGE = 1_000


async def violations_in_all(
    seen: Evidence, connection: asyncpg.Connection, losses: Sequence[datetime] = ()
) -> list[str]:
    """As `violations`, of everything that the database holds. Adds its rows to what was seen, without histories.

    `losses` are the moments at which executors were killed: how long their tasks waited is added too.
    """
    known = [str(row["task_id"]) for row in await connection.fetch("SELECT task_id FROM tasks ORDER BY task_id")]
    found = []
    for first in range(0, len(known), PAGE):
        page = await _page(seen, connection, known[first : first + PAGE])
        found += of_each_task(page)
        seen.rows |= page.rows
        for history in page.histories.values():
            seen.pickups += waits_after_loss(history, losses)
    return [*found, *of_the_whole(seen)]


async def _page(seen: Evidence, connection: asyncpg.Connection, task_ids: Sequence[str]) -> Evidence:
    page = Evidence(
        received=[received for received in seen.received if received.task_id in set(task_ids)],
        acknowledgements=seen.acknowledgements,
        runs=seen.runs,
    )
    await read_database(page, connection, task_ids)
    return page


def waits_after_loss(history: list[Message], losses: Sequence[datetime]) -> list[float]:
    """Seconds from the loss of an attempt's executor to the start of the next attempt, for each that was lost.

    Where several executors were killed in the time of an attempt, the first of them counts: rather too long than too
    short.
    """
    waits = []
    began: datetime | None = None
    lost_at: datetime | None = None
    for item in history:
        moment = parse_time(item.recorded_at)
        if item.name == "ExecutionStarted":
            if lost_at is not None:
                waits.append((moment - lost_at) / timedelta(seconds=1))
            began, lost_at = moment, None
        elif item.status == "Waiting" and '"after":"executor_lost"' in item.message and began is not None:
            lost_at = next((loss for loss in losses if began <= loss <= moment), None)
    return waits
