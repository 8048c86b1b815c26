"""Faults inside of the service, at its fault points: whatever fails there, everything holds in the end."""

import asyncio
import random
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.fault_points import POINTS
from tests.e2e.client import message
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.faults.outages import until_at_rest
from tests.faults.proxy import Proxy
from tests.support.service import Service, ServiceDied
from tests.support.waiting import NotInTime

Start = Callable[..., Service]


class Keeper:
    """Starts the service again as often as it dies, each time with another seed; in a thread beside the test."""

    def __init__(self, service: Service, draw: random.Random) -> None:
        self.deaths = 0
        self._service = service
        self._draw = draw
        self._over = False
        self._task = asyncio.create_task(asyncio.to_thread(self._keep))

    def _keep(self) -> None:
        while not self._over:
            if self._service._process is None or self._service._process.poll() is not None:
                self.deaths += 1
                self._start()
            else:
                threading.Event().wait(0.05)

    def _start(self) -> None:
        if self._service._process is not None:
            self._service.wait()
        self._service.environment["TASK_EXECUTOR_FAULT_SEED"] = str(self._draw.randrange(2**31))
        try:
            self._service.start()
        except (ServiceDied, NotInTime):
            # It fell over a fault point on its way up.
            if self._service._process is not None and self._service._process.poll() is None:
                self._service.kill()

    async def stop(self) -> None:
        """Lets it be as it is."""
        self._over = True
        await self._task


async def submit_until_taken(client: httpx.AsyncClient, sent: dict[str, object]) -> str:
    """The id of the task, whoever had to be asked how often."""
    while True:
        try:
            response = await client.post("/v1/tasks", json=sent)
        except httpx.TransportError:
            response = None
        if response is not None and response.status_code in (200, 202):
            found: str = response.json()["body"]["details"]["task_id"]
            return found
        assert response is None or response.status_code == 503, response.text
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.05)


async def load(client: httpx.AsyncClient, name: str, tasks: int) -> set[str]:
    """Tasks that complete, fail once, wait, and are cancelled, each submitted until it is taken."""
    accepted = set()
    for number in range(tasks):
        sent = message(
            "sleep", {"seconds": 0.02}, message_id=f"{name}-{number}", retry={"max_attempts": 100, "max_s": 0.2}
        )
        accepted.add(await submit_until_taken(client, sent))
    return accepted


async def run_with(service: Service, database_url: str, faults: str, tasks: int) -> None:
    """A load on a service that fails so, and a check of everything when it fails no more."""
    seed = random.SystemRandom().randrange(2**31)
    print(f"{faults}, seed {seed}")  # noqa: T201 - shown with a failure, to repeat it
    draw = random.Random(seed)
    await asyncio.to_thread(service.token)
    await asyncio.to_thread(service.stop)
    service.environment["TASK_EXECUTOR_FAULT_POINTS"] = faults
    keeper = Keeper(service, draw)
    async with service.client(timeout=20) as client:
        try:
            taken = await asyncio.gather(*(load(client, f"client-{number}", tasks // 4) for number in range(4)))
        finally:
            await keeper.stop()
        assert "this service fails on purpose" in service.log
        if service._process is not None:
            await asyncio.to_thread(service.kill)
        service.environment["TASK_EXECUTOR_FAULT_POINTS"] = ""
        await asyncio.to_thread(service.start)
        seen = Evidence(accepted=set().union(*taken))
        async with looking_into(database_url) as connection:
            await until_at_rest(connection)
            await read_database(seen, connection)
            doubled = await connection.fetch("SELECT message_id FROM tasks GROUP BY message_id HAVING count(*) > 1")
    print(f"{keeper.deaths} starts")  # noqa: T201 - as above
    assert len(seen.accepted) == tasks // 4 * 4
    assert doubled == []
    assert violations(seen) == []
    assert {row.state for row in seen.rows.values()} == {"Completed"}


SETTINGS = {"lease_s": "1.5", "drain_s": "1", "rate_limit": "off", "capacity": '{"cpu": 0.1}'}


@pytest.mark.parametrize("faults", ["*:0.05:lose,*:0.02:delay=0.05", "*:0.001:kill,*:0.0005:kill=0.002"])
async def test_everywhere_at_once(start_service: Start, database_url: str, faults: str) -> None:
    await run_with(start_service(**SETTINGS), database_url, faults, tasks=60)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["kill", "kill=0.002", "lose", "delay=0.3"])
@pytest.mark.parametrize("point", POINTS)
async def test_each_point(start_service: Start, database_url: str, point: str, kind: str) -> None:
    if kind == "lose" and not point.endswith(("send", "reply", "open")):
        pytest.skip("no connection is in use there")
    for _ in range(5):
        await run_with(start_service(**SETTINGS), database_url, f"{point}:0.05:{kind}", tasks=100)


@pytest.mark.parametrize("cuts", [25, pytest.param(500, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)])])
async def test_connections_are_cut_at_any_byte(tmp_path: Path, database_url: str, cuts: int) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure, to repeat it
    draw = random.Random(seed)
    async with Proxy(database_url) as proxy:
        service = Service(tmp_path, proxy.url, SETTINGS)
        await asyncio.to_thread(service.start)
        try:
            await asyncio.to_thread(service.token)
            seen = Evidence()
            async with service.client(timeout=20) as client:
                for number in range(cuts):
                    # A submission and its commit take about 6,000 bytes, new connections twice as much.
                    proxy.cut_after = draw.randrange(1, 12_000)
                    sent = message("echo", {"number": number}, message_id=f"cut-{number}", retry={"max_attempts": 100})
                    seen.accepted.add(await submit_until_taken(client, sent))
                proxy.cut_after = None
                async with looking_into(database_url) as connection:
                    await until_at_rest(connection)
                    await read_database(seen, connection)
            assert len(seen.rows) == len(seen.accepted) == cuts
            assert violations(seen) == []
        finally:
            await asyncio.to_thread(service.close)
