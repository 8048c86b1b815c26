"""Three submitters at the real service: one floods it, and the histories tell what the others noticed of it."""

import asyncio
import json
import statistics
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import asyncpg
import httpx
import pytest

from tests.e2e.client import message, submit, until_over
from tests.faults.invariants import looking_into
from tests.support.service import Service
from tests.support.waiting import eventually

CORES = 4
TASK = {"seconds": 0.1}
CALLS, IN_ONE_CALL = 3, 1_000
SINGLES, MANY = 8, 60

WORST_DELAY = 20
"""Task lengths. In the order of submission it would be several hundred; the rest is for a machine that is busy."""

STARTS = """
SELECT t.submitter, t.message_id, s.recorded_at AS submitted, x.recorded_at AS started, c.recorded_at AS ended
FROM tasks AS t
JOIN history AS s ON s.task_id = t.task_id AND s.name = 'SubmitTask'
JOIN history AS x ON x.task_id = t.task_id AND x.name = 'ExecutionStarted'
LEFT JOIN history AS c ON c.task_id = t.task_id AND c.name = 'TaskCompleted'
ORDER BY x.recorded_at"""


class Run(NamedTuple):
    """A task that has started, by its history."""

    submitter: str
    name: str
    submitted: datetime
    started: datetime
    ended: datetime | None


async def batch(client: httpx.AsyncClient, name: str, count: int) -> None:
    """Submits so many tasks in one call."""
    messages = [message("sleep", TASK, message_id=f"{name}-{number}", resources={"cpu": 1}) for number in range(count)]
    answer = await client.post("/v1/tasks/batch", json={"messages": messages})
    assert Counter(outcome["status"] for outcome in answer.json()["outcomes"]) == {202: count}


async def singles(client: httpx.AsyncClient) -> None:
    """A task now and then."""
    for number in range(SINGLES):
        await until_over(client, await submit(client, "sleep", TASK, message_id=f"one-{number}", resources={"cpu": 1}))


async def runs(sql: asyncpg.Connection) -> list[Run]:
    return [Run(*row) for row in await sql.fetch(STARTS)]


async def test_one_who_floods_delays_himself_only(start_service: Callable[..., Service], database_url: str) -> None:
    service = start_service(capacity=json.dumps({"cpu": CORES, "memory_mb": 4000}), rate_limit="off")
    async with (
        looking_into(database_url) as sql,
        service.client("flooder") as flooder,
        service.client("bob") as bob,
        service.client("carol") as carol,
    ):
        for number in range(CALLS):
            await batch(flooder, f"flood-{number}", IN_ONE_CALL)
        await asyncio.gather(singles(bob), singles(carol))
        await asyncio.gather(batch(bob, "many", MANY), batch(carol, "many", MANY))

        async def all_started() -> bool:
            return sum(run.name.startswith("many") for run in await runs(sql)) == 2 * MANY

        await eventually(all_started, "all of the others' tasks started", within_s=60)
        found = await runs(sql)

    flooded = [run for run in found if run.submitter == "flooder"]
    assert len(flooded) < CALLS * IN_ONE_CALL, "the flood lasts until the end"
    length_s = statistics.median((run.ended - run.started).total_seconds() for run in flooded if run.ended)
    delays = [(run.started - run.submitted).total_seconds() / length_s for run in found if run.name.startswith("one")]
    assert len(delays) == 2 * SINGLES

    many = [number for number, run in enumerate(found) if run.name.startswith("many")]
    # While all three have something waiting: towards the end one of them may have nothing left.
    all_wait = found[many[0] : many[len(many) * 3 // 4]]
    shares = Counter(run.submitter for run in all_wait)
    print(  # noqa: T201 - pytest shows it where asked to (-rP)
        f"{len(flooded):,} of {CALLS * IN_ONE_CALL:,} of the flood had started; a task took {length_s:.3f} s; others' "
        f"delays: median {statistics.median(delays):.1f}, worst {max(delays):.1f} task lengths; starts: {dict(shares)}"
    )
    assert max(delays) < WORST_DELAY
    for share in shares.values():
        assert share / len(all_wait) == pytest.approx(1 / 3, rel=0.35)
