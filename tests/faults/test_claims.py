"""Sixteen executors claim at once from two replicas: each attempt is given out once, to one of them, and ends once."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import httpx
import pytest

from tests.e2e.client import message
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.support.service import Service
from tests.support.waiting import eventually

CLAIMERS = 16
LIMIT = 25
KIND = "tests.e2e.outside_kinds"


async def submit_all(client: httpx.AsyncClient, count: int, label: str) -> set[str]:
    """That many tasks for executors outside, in batches; answers their ids."""
    made: set[str] = set()
    for first in range(0, count, 500):
        numbers = range(first, min(first + 500, count))
        messages = [message("print", {"pages": number}, message_id=f"{label}-{number}") for number in numbers]
        answer = await client.post("/v1/tasks/batch", json={"messages": messages})
        made.update(outcome["task"]["body"]["details"]["task_id"] for outcome in answer.json()["outcomes"])
    return made


@asynccontextmanager
async def claimers(services: Sequence[Service]) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients that submit, claim and complete, in turns at the services."""
    token = await asyncio.to_thread(services[0].token, "alice", "submitter", "executor")
    headers = {"Authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=services[turn % len(services)].url, headers=headers, timeout=120)
            )
            for turn in range(CLAIMERS)
        ]


async def work_off(executor: httpx.AsyncClient, given: Counter[str]) -> None:
    """Claims and completes until there is nothing more; counts what it was given. Nothing is answered but 200."""
    while True:
        answer = await executor.post("/v1/executions/claim", json={"types": ["print"], "limit": LIMIT})
        assert answer.status_code == 200, answer.text
        executions = [each["execution_id"] for each in answer.json()["executions"]]
        if not executions:
            return
        given.update(executions)
        paths = [f"/v1/executions/{execution}/complete" for execution in executions]
        ends = await asyncio.gather(*(executor.post(path, json={"result": None}) for path in paths))
        assert {end.status_code for end in ends} == {200}


@pytest.mark.parametrize(
    ("tasks", "rounds"),
    [(300, 1), pytest.param(10_000, 5, marks=[pytest.mark.chaos, pytest.mark.timeout(3600)])],
)
async def test_each_attempt_is_given_to_one_of_sixteen(
    start_service: Callable[..., Service], database_url: str, tasks: int, rounds: int
) -> None:
    services = [start_service(task_types=KIND, rate_limit="off", lease_s="60") for _ in range(2)]
    seen, given = Evidence(), Counter[str]()
    async with claimers(services) as executors, looking_into(database_url) as sql:
        for number in range(rounds):
            seen.accepted |= await submit_all(executors[0], tasks, f"round-{number}")
            await asyncio.gather(*(work_off(executor, given) for executor in executors))
        assert set(given.values()) == {1}, "an attempt was given out more than once"
        assert {execution.rpartition(".")[0] for execution in given} == seen.accepted
        assert len(given) == len(seen.accepted) == tasks * rounds, "each task took one attempt"
        await read_database(seen, sql)
    assert violations(seen) == []
    assert {row.state for row in seen.rows.values()} == {"Completed"}
    assert all("Traceback" not in service.log for service in services)


async def seconds_of_claims(executor: httpx.AsyncClient, tasks: int) -> list[float]:
    """How long each claim of one task took, shortest first."""
    took = []
    await submit_all(executor, tasks, f"timed-{time.monotonic_ns()}")
    for _ in range(tasks):
        begin = time.monotonic()
        answer = await executor.post("/v1/executions/claim", json={"types": ["print"], "limit": 1})
        took.append(time.monotonic() - begin)
        [execution] = answer.json()["executions"]
        await executor.post(f"/v1/executions/{execution['execution_id']}/complete", json={"result": None})
    return sorted(took)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_a_transaction_stays_open(start_service: Callable[..., Service], database_url: str) -> None:
    """Everything is done all the same, and the metrics tell; what it costs is printed."""
    services = [start_service(task_types=KIND, rate_limit="off", lease_s="60")]
    given = Counter[str]()
    async with (
        claimers(services) as executors,
        looking_into(database_url) as sql,
        looking_into(database_url) as forgotten,
    ):
        before = await seconds_of_claims(executors[0], 200)
        async with forgotten.transaction(isolation="repeatable_read"):
            await forgotten.fetchval("SELECT count(*) FROM tasks")
            for number in range(10):
                await submit_all(executors[0], 5_000, f"round-{number}")
                await asyncio.gather(*(work_off(executor, given) for executor in executors))
            assert (len(given), set(given.values())) == (50_000, {1})
            meanwhile = await seconds_of_claims(executors[0], 200)
            await eventually(partial(dead_rows_beyond, services[0], 10_000), "the metrics tell", within_s=120)
        await sql.execute("VACUUM tasks")
        after = await seconds_of_claims(executors[0], 200)
    for label, took in (("before", before), ("meanwhile", meanwhile), ("after", after)):
        print(f"{label}: p50 {took[100] * 1000:.1f} ms, p95 {took[190] * 1000:.1f} ms")  # noqa: T201 - for the documents


async def dead_rows_beyond(service: Service, least: int) -> bool:
    async with httpx.AsyncClient() as client:
        page = (await client.get(f"{service.url}/metrics")).text
    [line] = [line for line in page.splitlines() if line.startswith("task_executor_dead_rows ")]
    return float(line.split()[1]) > least
