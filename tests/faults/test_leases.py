"""Replicas that are paused, cut off, or live by a wrong clock: the fence holds, and the others take over in time."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.e2e.client import submit, until_over
from tests.faults.invariants import Evidence, looking_into, read_database, read_history, violations
from tests.faults.proxy import Proxy
from tests.support.service import Service
from tests.support.waiting import eventually

Start = Callable[..., Service]

LEASE_S = 2.0
SETTINGS = {"lease_s": f"{LEASE_S:g}", "rate_limit": "off", "drain_s": "1"}


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    async with looking_into(database_url) as connection:
        yield connection


async def holder_of(sql: asyncpg.Connection, task_id: str) -> str | None:
    """The node that holds the task, while it executes."""
    row = await sql.fetchrow("SELECT lease_owner, state FROM tasks WHERE task_id = $1", task_id)
    return row["lease_owner"] if row is not None and row["state"] == "Executing" else None


async def check(sql: asyncpg.Connection, client: httpx.AsyncClient, task_ids: set[str]) -> Evidence:
    """Every task is over, and everything holds."""
    seen = Evidence(accepted=task_ids)
    for task_id in task_ids:
        await until_over(client, task_id)
        await read_history(seen, client, task_id)
    await read_database(seen, sql)
    assert violations(seen) == []
    return seen


async def taken_over(sql: asyncpg.Connection, task_id: str, attempt: int) -> float:
    """Waits until the task's attempt is this one; answers how long that took."""
    begin = time.monotonic()

    async def again() -> bool:
        return bool(await sql.fetchval("SELECT attempt = $2 FROM tasks WHERE task_id = $1", task_id, attempt))

    await eventually(again, "taken over", within_s=30)
    return time.monotonic() - begin


@pytest.mark.parametrize("times", [1, pytest.param(25, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)])])
async def test_a_replica_is_paused_and_wakes_up(start_service: Start, sql: asyncpg.Connection, times: int) -> None:
    """What it did of the task is refused when it wakes, and recorded as such."""
    paused, other = start_service(**SETTINGS), start_service(**SETTINGS)
    tasks = set()
    async with paused.client() as client, other.client() as elsewhere:
        for turn in range(times):
            task_id = await submit(client, "sleep", {"seconds": 1.5 * LEASE_S}, retry={"max_attempts": 9})
            tasks.add(task_id)
            node = (await client.get("/readyz")).json()["node"]
            await eventually(partial(holder_of, sql, task_id), "it runs")
            at_the_paused = await holder_of(sql, task_id) == node
            os.kill(paused.process_id, signal.SIGSTOP)
            if at_the_paused:
                print(f"taken over after {await taken_over(sql, task_id, 2):.2f} s")  # noqa: T201 - for the documents
            await until_over(elsewhere, task_id)
            os.kill(paused.process_id, signal.SIGCONT)
            if at_the_paused and turn == 0:

                async def discarded() -> bool:
                    return 'task_executor_outcomes_discarded_total{outcome="' in (await client.get("/metrics")).text

                await eventually(discarded, "the outcome was discarded", within_s=20)
                await eventually(partial(_logged, paused, "outcome discarded: the lease was lost"), "it is in the log")
                items = (await elsewhere.get(f"/v1/tasks/{task_id}/messages?limit=200")).json()["items"]
                assert any("whatever it still answers is discarded" in str(item["message"]) for item in items)
        seen = await check(sql, elsewhere, tasks)
    assert {seen.rows[task_id].state for task_id in tasks} == {"Completed"}


async def test_a_replica_is_cut_off_from_the_database(
    tmp_path: Path, database_url: str, start_service: Start, sql: asyncpg.Connection
) -> None:
    """It stops when its lease ends, the other takes over within two seconds more, and its late writes are refused."""
    other = start_service(**SETTINGS)
    async with Proxy(database_url) as proxy:
        far = Service(tmp_path, proxy.url, SETTINGS)
        await asyncio.to_thread(far.start)
        try:
            await asyncio.to_thread(far.token)
            await asyncio.to_thread(other.token)
            async with far.client() as client, other.client() as elsewhere:
                node = (await client.get("/readyz")).json()["node"]
                task_id, tasks = "", set[str]()
                # A node that has just begun may leave the first one to the other.
                while not task_id or await holder_of(sql, task_id) != node:
                    task_id = await submit(client, "sleep", {"seconds": 2 * LEASE_S}, retry={"max_attempts": 9})
                    tasks.add(task_id)
                    await eventually(partial(holder_of, sql, task_id), "it runs")
                proxy.black_hole = True
                print(f"taken over after {await taken_over(sql, task_id, 2):.2f} s")  # noqa: T201 - for the documents
                assert (await client.get(f"/v1/tasks/{task_id}")).status_code == 503
                await eventually(partial(_logged, far, "its lease has run out"), "it has stopped", within_s=20)
                await until_over(elsewhere, task_id)
                proxy.black_hole = False
                await eventually(partial(_logged, far, "outcome discarded"), "its outcome is discarded", within_s=20)
                await check(sql, client, tasks)
        finally:
            await asyncio.to_thread(far.close)


async def _logged(service: Service, words: str) -> bool:
    return words in service.log
