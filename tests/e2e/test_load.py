"""A thousand tasks by 32 clients at once: each to its end, with an unbroken history, over HTTP and in the database."""

import asyncio
import itertools
import json

import httpx

from tests.e2e.client import message, until_over
from tests.faults.invariants import (
    Evidence,
    looking_into,
    read_database,
    read_history,
    sample_allocated,
    violations,
)
from tests.support.service import Service

CLIENTS = 32
TASKS = 1000


def mixed(number: int) -> dict[str, object]:
    """Mostly echoes, some that take a moment, and some that time out."""
    if number % 20 == 7:
        return message("sleep", {"seconds": 0.05}, message_id=f"load-{number}", priority=number % 5)
    if number % 50 == 11:
        short = {"timeout_s": 0.01, "retry": {"max_attempts": 2, "initial_s": 0, "max_s": 0}}
        return message("sleep", {"seconds": 30}, message_id=f"load-{number}", **short)
    return message("echo", {"number": number}, message_id=f"load-{number}")


async def test_a_thousand_tasks_by_32_clients(service: Service, database_url: str) -> None:
    seen = Evidence()
    numbers = itertools.count()

    async def one_client(client: httpx.AsyncClient) -> None:
        while (number := next(numbers)) < TASKS:
            response = await client.post("/v1/tasks", json=mixed(number))
            assert response.status_code == 202, response.text
            task_id = response.json()["body"]["details"]["task_id"]
            seen.accepted.add(task_id)
            body = await until_over(client, task_id, within_s=90)
            if number % 50 == 11 and number % 20 != 7:
                assert (body["details"]["reason"], body["details"]["attempt"]) == ("timed_out", 2)
            else:
                assert body["status"] == "Completed", body
            await read_history(seen, client, task_id)

    limits = httpx.Limits(max_connections=CLIENTS)
    async with looking_into(database_url) as connection, service.client(limits=limits, timeout=90) as client:
        capacity = (await client.get("/v1/resources")).json()
        sampling = asyncio.create_task(sample_until_cancelled(seen, connection))
        await asyncio.gather(*(one_client(client) for _ in range(CLIENTS)))
        sampling.cancel()
        await asyncio.wait([sampling])
        await sample_allocated(seen, connection)
        await read_database(seen, connection)
        seen.capacity = thousandths(capacity["capacity"])
        rest = (await client.get("/v1/resources")).json()
    assert len(seen.accepted) == len(seen.told) == TASKS
    assert violations(seen) == []
    assert all(amount == 0 for amount in rest["allocated"].values()), rest
    assert "Traceback" not in service.log
    assert [line for line in service.log.splitlines() if '"level":"error"' in line] == []


async def sample_until_cancelled(seen: Evidence, connection: object) -> None:
    """Takes samples of what is allocated, one behind the other."""
    while True:
        await sample_allocated(seen, connection)
        tick = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, tick.set_result, None)
        await tick


def thousandths(wire: dict[str, float]) -> dict[str, int]:
    """A vector of GET /v1/resources as rows spell it."""
    return {unit: round(amount * 1000) for unit, amount in json.loads(json.dumps(wire)).items() if unit != "custom"}
