"""Claims by many at once: each attempt is given out once; and beside what keeps a vacuum from removing what is dead."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import asyncpg
import httpx
import pytest

from app.storage.lines import Line, Walk, Want, line_of
from app.storage.marked_lines import Sweep
from tests.e2e.client import message
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.storage.stored import Store, accepted_task, open_store
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


# As many copies of a task that waits, stored in the last half hour, one after the other.
_COPIES = """
INSERT INTO tasks (task_id, message_id, idempotency_key, content_digest, submitter, type, priority, submission, labels,
    requested, shape, timeout_s, retry, submitted_at, state, version, attempt, allocation_attempts, allocated, used,
    updated_at, acknowledged_sequence, sequence, head_hash)
SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1800000 + n), 12, '0') || '7000'
        || substr(md5(n::text || random()), 1, 16))::uuid, message_id, 'copy-' || n || random(), content_digest,
    submitter, type, priority, submission, labels, requested, shape, timeout_s, retry, submitted_at, state, version,
    attempt, allocation_attempts, allocated, used, updated_at, acknowledged_sequence, sequence, head_hash
FROM tasks CROSS JOIN generate_series(1, $1::bigint) AS n WHERE task_id = $2"""

# What becomes of them, as the service would write it.
_LEASED = """
UPDATE tasks SET state = 'Executing', lease_owner = 'executor/nobody', lease_expires_at = now() + interval '1 hour'
WHERE idempotency_key LIKE 'copy-%' AND state = 'ResourceAllocation'"""
_FINISHED = """
UPDATE tasks SET state = 'Completed', finished_at = now(), lease_owner = NULL, lease_expires_at = NULL
WHERE lease_owner = 'executor/nobody'"""

COPIED = 50_000


async def finish_copies(sql: asyncpg.Connection, task_id: str, tasks: int) -> None:
    """So many tasks come into the line of a waiting one, are leased and end."""
    for _ in range(0, tasks, COPIED):
        await sql.execute(_COPIES, min(COPIED, tasks), task_id)
        await sql.execute(_LEASED)
        await sql.execute(_FINISHED)


@asynccontextmanager
async def forgotten_transaction(url: str) -> AsyncIterator[None]:
    """Somebody looks at the tasks and then does nothing more."""
    async with looking_into(url) as sql, sql.transaction(isolation="repeatable_read"):
        await sql.fetchval("SELECT count(*) FROM tasks")
        yield


async def entries_passed(store: Store, line: Line) -> int:
    """Entries of the index of what waits that a look and a claim of one task pass, dead ones included."""

    async def passed() -> int:
        (row,) = await store.leases._claims.fetch("SELECT pg_stat_force_next_flush()")
        assert row is not None
        counted = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE indexrelname LIKE 'tasks%expr_coalesce%'"
        await store.sql.execute("SELECT pg_stat_clear_snapshot()")
        return int(await store.sql.fetchval(counted))

    before = await passed()
    await store.leases.look(Walk(None, 96), Walk(None, 32), Walk(None, 0))
    assert len(await store.leases.claim([Want(line, 1)])) == 1
    return await passed() - before


async def test_beside_a_transaction_that_stays_open_claims_pass_no_more_than_before(database_url: str) -> None:
    async with open_store(database_url) as store:
        tasks = [accepted_task() for _ in range(10)]
        line, sweep = line_of(tasks[0]), Sweep(store.leases.sweeps, store.leases.marks, tuple)
        await store.put(*tasks)
        base = await entries_passed(store, line)
        async with forgotten_transaction(database_url):
            await finish_copies(store.sql, tasks[-1].task_id, 10_000)
            await store.sql.execute("VACUUM tasks")
            assert await entries_passed(store, line) > 20_000, "from the head, by a look and by a claim"
            await sweep.sweep()
            assert store.leases.marks.in_force
            assert await entries_passed(store, line) <= base + 10
        await store.sql.execute("VACUUM tasks")
        await sweep.sweep()
        assert not store.leases.marks.in_force


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_a_transaction_stays_open(start_service: Callable[..., Service], database_url: str) -> None:
    """A million tasks end meanwhile. Everything is done all the same, claims stay fast, and the metrics tell."""
    services = [start_service(task_types=KIND, rate_limit="off", lease_s="60")]
    given = Counter[str]()
    async with claimers(services) as executors, looking_into(database_url) as sql:
        before = await seconds_of_claims(executors[0], 200)
        async with forgotten_transaction(database_url):
            (pattern,) = await submit_all(executors[0], 1, "pattern")
            await finish_copies(sql, pattern, 1_000_000)
            await submit_all(executors[0], 5_000, "meanwhile")
            await asyncio.gather(*(work_off(executor, given) for executor in executors))
            assert (len(given), set(given.values())) == (5_001, {1})
            meanwhile = await seconds_of_claims(executors[0], 200)
            await eventually(partial(dead_rows_beyond, services[0], 1_000_000), "the metrics tell", within_s=120)
        await sql.execute("VACUUM tasks")
        after = await seconds_of_claims(executors[0], 200)
    for label, took in (("before", before), ("meanwhile", meanwhile), ("after", after)):
        print(f"{label}: p50 {took[100] * 1000:.1f} ms, p95 {took[190] * 1000:.1f} ms")  # noqa: T201 - for the documents
    assert meanwhile[190] <= 2 * before[190]


async def dead_rows_beyond(service: Service, least: int) -> bool:
    async with httpx.AsyncClient() as client:
        page = (await client.get(f"{service.url}/metrics")).text
    [line] = [line for line in page.splitlines() if line.startswith("task_executor_dead_rows ")]
    return float(line.split()[1]) > least
