"""SIGTERM: red first, answers to the last, nothing lost, nothing run twice; a rolling restart goes unnoticed."""

import asyncio
import itertools
import time
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.client import message, status, submit, until_all, until_over
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.faults.outages import until_at_rest
from tests.support.service import Service
from tests.support.waiting import eventually

Start = Callable[..., Service]


async def test_red_first_and_answers_to_the_last(start_service: Start, database_url: str) -> None:
    service = start_service(drain_s="60", shutdown_notice_s="0.5")
    seen = Evidence()
    async with service.client() as client:
        running = await submit(client, "sleep", {"seconds": 4})
        await until_all(client, [running], "Executing")
        ending = asyncio.create_task(asyncio.to_thread(service.stop))

        async def red() -> bool:
            return (await client.get("/readyz")).status_code == 503

        await eventually(red, "red")
        problem = (await client.get("/readyz")).json()
        assert problem["type"] == "urn:task-executor:problem:draining"
        assert (await client.get("/livez")).status_code == 200
        assert (await status(client, running))["status"] == "Executing", "red, and the task still runs"
        late = await client.post("/v1/tasks", json=message("sleep", {"seconds": 0}))
        assert late.status_code == 202
        seen.accepted = {running, late.json()["body"]["details"]["task_id"]}
        assert await ending == 0
    service.start()
    async with service.client() as client:
        for task_id in seen.accepted:
            body = await until_over(client, task_id)
            assert (body["status"], body["details"]["attempt"]) == ("Completed", 1)
    async with looking_into(database_url) as connection:
        await read_database(seen, connection)
    assert violations(seen) == []


async def test_what_cannot_finish_is_handed_back_within_the_grace_time(start_service: Start, database_url: str) -> None:
    service = start_service(drain_s="1")
    async with service.client() as client:
        running = [await submit(client, "sleep", {"seconds": 600}) for _ in range(3)]
        await until_all(client, running, "Executing")
    begin = time.monotonic()
    assert await asyncio.to_thread(service.stop) == 0
    print(f"drain of 1 s: over after {time.monotonic() - begin:.2f} s")  # noqa: T201 - a figure for the documents
    async with looking_into(database_url) as connection:
        rows = await connection.fetch("SELECT state, attempt, lease_owner FROM tasks")
    assert {tuple(row) for row in rows} == {("Waiting", 0, None)}


async def test_somebody_in_a_hurry_waits_for_nothing(start_service: Start) -> None:
    service = start_service(drain_s="600")
    async with service.client() as client:
        running = await submit(client, "sleep", {"seconds": 600})
        await until_all(client, [running], "Executing")
        for _ in range(2):
            assert service._process is not None
            service._process.send_signal(2)

            async def red() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == 503
                except httpx.TransportError:
                    return True

            await eventually(red, "red")
    assert await asyncio.to_thread(service.wait) == 130
    assert "told again to stop" in service.log


class Client:
    """Submits one message after the other, each until it is taken, at whichever replica answers."""

    def __init__(self, services: list[Service]) -> None:
        self._services = services
        self.accepted: set[str] = set()
        self.failed = 0
        self.repeated = 0

    async def run(self, name: str, stop: asyncio.Event) -> None:
        clients = [service.client(timeout=10) for service in self._services]
        async with clients[0] as one, clients[1] as two:
            for number in itertools.count():
                if stop.is_set():
                    return
                sent = message("sleep", {"seconds": 0.05}, message_id=f"{name}-{number}")
                await self._submit([one, two], sent)

    async def _submit(self, clients: list[httpx.AsyncClient], sent: dict[str, object]) -> None:
        for turn in range(200):
            try:
                response = await clients[turn % 2].post("/v1/tasks", json=sent)
            except httpx.TransportError:
                response = None
            if response is not None and response.status_code in (200, 202):
                self.accepted.add(response.json()["body"]["details"]["task_id"])
                return
            assert response is None or response.status_code in (429, 503), response.text
            self.repeated += 1
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.05)
        self.failed += 1


@pytest.mark.parametrize("cycles", [1, pytest.param(20, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)])])
async def test_a_rolling_restart_under_load(start_service: Start, database_url: str, cycles: int) -> None:
    services = [start_service(drain_s="10", lease_s="5", rate_limit="off") for _ in range(2)]
    for service in services:
        await asyncio.to_thread(service.token)
    load, stop = Client(services), asyncio.Event()
    submitters = [asyncio.create_task(load.run(f"client-{number}", stop)) for number in range(4)]
    for service in services * cycles:
        begin = time.monotonic()
        assert await asyncio.to_thread(service.stop) == 0
        print(f"stopped after {time.monotonic() - begin:.2f} s")  # noqa: T201 - a figure for the documents
        await asyncio.to_thread(service.start)
    stop.set()
    await asyncio.gather(*submitters)
    seen = Evidence(accepted=load.accepted)
    async with looking_into(database_url) as connection:
        await until_at_rest(connection)
        await read_database(seen, connection)
        doubled = await connection.fetch("SELECT message_id FROM tasks GROUP BY message_id HAVING count(*) > 1")
    print(f"{len(load.accepted)} accepted, {load.repeated} repeated, {load.failed} failed")  # noqa: T201 - as above
    assert load.failed == 0
    assert doubled == []
    assert violations(seen) == []
    assert {(row.state, row.attempt) for row in seen.rows.values()} == {("Completed", 1)}
