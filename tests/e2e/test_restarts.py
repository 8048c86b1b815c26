"""Kills and stops in the middle of running tasks: nothing is lost, and every history stays whole."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.client import submit, until_all, until_over
from tests.faults.invariants import Evidence, looking_into, read_database, read_history, violations
from tests.support.service import Service
from tests.support.waiting import eventually


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Service]:
    """A service with an embedded Postgres of its own; ten sleeping tasks fill it."""
    service = Service(tmp_path, None, {"capacity": '{"cpu": 0.1}'})
    yield service
    service.close()


async def test_kill_in_the_middle_of_ten_running_tasks(alone: Service) -> None:
    alone.start()
    seen = Evidence()
    async with alone.client() as client:
        running = [await submit(client, "sleep", {"seconds": 2}) for _ in range(10)]
        await until_all(client, running, "Executing")
        queued = [await submit(client, "echo", {"number": number}) for number in range(15)]
        seen.accepted = {*running, *queued}
        alone.kill()
    alone.start()
    async with alone.client() as client:
        for task_id in running:
            body = await until_over(client, task_id)
            assert (body["status"], body["details"]["attempt"]) == ("Completed", 2), "the lost attempt counts"
        for task_id in queued:
            body = await until_over(client, task_id)
            assert (body["status"], body["details"]["attempt"]) == ("Completed", 1)
        for task_id in seen.accepted:
            await read_history(seen, client, task_id)
        rest = (await client.get("/v1/resources")).json()
        assert all(amount == 0 for amount in rest["allocated"].values())
    async with looking_into(alone.own_database_url) as connection:
        await read_database(seen, connection)
    assert violations(seen) == []


async def test_stop_hands_back_and_a_restart_completes(
    start_service: Callable[..., Service], database_url: str
) -> None:
    service = start_service(drain_s="0.2")
    seen = Evidence()
    async with service.client() as client:
        running = [await submit(client, "sleep", {"seconds": 3}) for _ in range(10)]
        seen.accepted = set(running)
        await until_all(client, running, "Executing")
    assert service.stop() == 0
    async with looking_into(database_url) as connection:
        rows = await connection.fetch("SELECT state, attempt, lease_owner FROM tasks")
        assert {tuple(row) for row in rows} == {("Waiting", 0, None)}
    service.start()
    async with service.client() as client:
        for task_id in running:
            body = await until_over(client, task_id)
            assert (body["status"], body["details"]["attempt"]) == ("Completed", 1), (
                "what was handed back did not count"
            )
    async with looking_into(database_url) as connection:
        await read_database(seen, connection)
    assert violations(seen) == []


async def test_a_stop_lets_finish_what_can(start_service: Callable[..., Service], database_url: str) -> None:
    service = start_service(drain_s="20")
    async with service.client() as client:
        task_id = await submit(client, "sleep", {"seconds": 1})
        await until_all(client, [task_id], "Executing")
    assert service.stop() == 0
    async with looking_into(database_url) as connection:
        assert await connection.fetchval("SELECT state FROM tasks") == "Completed"


async def test_two_services_share_the_work_and_the_survivor_takes_over(
    start_service: Callable[..., Service], database_url: str
) -> None:
    settings = {"lease_s": "2", "capacity": '{"cpu": 0.2}'}
    one, two = start_service(**settings), start_service(**settings)
    seen = Evidence()
    async with one.client() as client, two.client() as other:
        tasks = await asyncio.gather(*(submit(client, "sleep", {"seconds": 0.1}) for _ in range(150)))
        seen.accepted = set(tasks)
        for task_id in tasks:
            assert (await until_over(other, task_id))["status"] == "Completed"
        async with looking_into(database_url) as connection:
            nodes = await connection.fetch(
                "SELECT DISTINCT message->'body'->>'node' FROM history WHERE name = 'ResourcesAllocated'"
            )
            assert len(nodes) == 2, "both have worked, though one was told of everything"
            long = await asyncio.gather(*(submit(client, "sleep", {"seconds": 2.5}) for _ in range(50)))

            async def both_are_busy() -> bool:
                busy = await connection.fetch("SELECT 1 FROM tasks WHERE state = 'Executing'")
                return len(busy) == 2 * 20

            await eventually(both_are_busy, "20 tasks running on each", within_s=20)
        one.kill()
        more = [await submit(other, "echo") for _ in range(20)]
        seen.accepted.update(long, more)
        for task_id in [*long, *more]:
            body = await until_over(other, task_id)
            assert body["status"] == "Completed"
        attempts = [(await detail(other, task_id))["attempt"] for task_id in long]
        assert set(attempts) == {1, 2}, "the survivor's own ran through, the others ran again"
    async with looking_into(database_url) as connection:

        async def no_lease_left() -> bool:
            return not await connection.fetch("SELECT 1 FROM tasks WHERE lease_owner IS NOT NULL LIMIT 1")

        await eventually(no_lease_left, "no lease left")
        await read_database(seen, connection)
    assert violations(seen) == []


async def detail(client: httpx.AsyncClient, task_id: str) -> dict[str, object]:
    """The details of a task's status."""
    found: dict[str, object] = (await client.get(f"/v1/tasks/{task_id}")).json()["body"]["details"]
    return found
