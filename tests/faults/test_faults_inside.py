"""Faults inside of the service, at its fault points: whatever fails there, everything holds in the end."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.fault_points import POINTS
from tests.delivery.webhooks.conftest import QUICK
from tests.e2e.client import message
from tests.faults.campaign import new_seed, scaled
from tests.faults.every_door import Visitors, until_answered
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.faults.keeper import Keeper
from tests.faults.outages import until_at_rest
from tests.faults.proxy import Proxy
from tests.support.service import Service
from tests.support.sink import Sink, answers
from tests.support.waiting import eventually

Start = Callable[..., Service]


async def taken(client: httpx.AsyncClient, sent: dict[str, object]) -> str:
    """The id of the task, whoever had to be asked how often."""
    answer = await until_answered(client, "POST", "/v1/tasks", json=sent)
    return str(answer.json()["body"]["details"]["task_id"])


async def load(client: httpx.AsyncClient, name: str, tasks: int) -> set[str]:
    """Tasks that complete, fail once, wait, and are cancelled, each submitted until it is taken."""
    accepted = set()
    for number in range(tasks):
        sent = message(
            "sleep", {"seconds": 0.02}, message_id=f"{name}-{number}", retry={"max_attempts": 100, "max_s": 0.2}
        )
        accepted.add(await taken(client, sent))
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


WISHED = 3
"""Faults at its point that a run waits for."""

FREQUENT = ("connection", "journal", "reader", "claims", "upkeep", "rates", "pool", "ahead", "outside", "webhooks")
"""A service comes by these points many times before it is ready."""


async def run_through(services: list[Service], database_url: str, fault: str, callback: str | None) -> None:
    """Every door of a service that fails at one point, beside one that does not, and a check of everything."""
    service, other = services
    point, _, kind = fault.split(":")
    mark = f"fault point {point}: {kind.partition('=')[0]}"
    before = service.log.count(mark)
    draw = random.Random(new_seed())
    for each in services:
        await asyncio.to_thread(each.token)
        await asyncio.to_thread(each.token, "printer", "executor")
    await asyncio.to_thread(service.kill)
    service.environment["TASK_EXECUTOR_FAULT_POINTS"] = fault
    keepers = [
        Keeper(service, draw, disturb=Service.stop if point.startswith("drain") else None),
        Keeper(other, draw, disturb=Service.kill if point.startswith("rescue") else None),
    ]
    stopping = asyncio.Event()
    visitors = Visitors(service, other, draw, callback)
    visit = asyncio.create_task(visitors.visit(stopping))

    async def failed() -> bool:
        assert not visit.done() or visit.exception() is None, visit.exception()
        return service.log.count(mark) - before >= WISHED

    try:
        await eventually(failed, f"{WISHED} faults at {point}", within_s=120)
    finally:
        for keeper in keepers:
            await keeper.stop()
        service.environment["TASK_EXECUTOR_FAULT_POINTS"] = ""
        for each in services:
            await asyncio.to_thread(each.kill_where_it_lives)
            await asyncio.to_thread(each.start)
        stopping.set()
    async with asyncio.timeout(120):
        await visit
    seen = Evidence(accepted=visitors.accepted, logs={each.url: each.log for each in services})
    async with looking_into(database_url) as connection:
        await until_at_rest(connection)
        if callback is not None:
            await until_delivered(connection)
        await read_database(seen, connection)
        doubled = await connection.fetch("SELECT message_id FROM tasks GROUP BY message_id HAVING count(*) > 1")
    assert doubled == []
    assert violations(seen) == []
    lost = {task_id for task_id, row in seen.rows.items() if row.state != "Completed"} - visitors.cancelled
    assert lost == set()


async def until_delivered(connection: asyncpg.Connection) -> None:
    """Waits until every message has been sent. A claim of a node that died runs out after half a minute."""

    async def delivered() -> bool:
        return not await connection.fetch("SELECT 1 FROM deliveries WHERE state <> 'delivered' LIMIT 1")

    await eventually(delivered, "every webhook delivered", within_s=90)


EVERYWHERE = {
    **SETTINGS,
    **QUICK,
    "rate_limit": "600000/minute",
    # More comes than can run: some of it waits here, there and in the database.
    "capacity": '{"cpu": 0.02}',
    "task_types": "tests.e2e.outside_kinds",
    "when_busy": "count",
    "allocation_timeout_s": "0.3",
    "allocation_max_attempts": "1000",
    "backoff_max_s": "0.2",
}


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["kill", "kill=0.002", "lose", "delay=0.3"])
@pytest.mark.parametrize("point", POINTS)
async def test_each_point(start_service: Start, database_url: str, point: str, kind: str) -> None:
    """The point is come by, and fails: what nobody comes by would prove nothing."""
    if kind == "lose" and not point.endswith(("send", "reply", "open")):
        pytest.skip("no connection is in use there")
    room = point.partition(".")[0]
    fault = f"{point}:{0.05 if room in FREQUENT else 0.3}:{kind}"
    async with Sink() as sink:
        callback = sink.tell("/hook", answers(200)) if room in ("webhooks", "courier") else None
        services = [start_service(**EVERYWHERE) for _ in range(2)]
        for _ in range(round(scaled(5))):
            await run_through(services, database_url, fault, callback)


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
                    seen.accepted.add(await taken(client, sent))
                proxy.cut_after = None
                async with looking_into(database_url) as connection:
                    await until_at_rest(connection)
                    await read_database(seen, connection)
            assert len(seen.rows) == len(seen.accepted) == cuts
            assert violations(seen) == []
        finally:
            await asyncio.to_thread(service.close)
