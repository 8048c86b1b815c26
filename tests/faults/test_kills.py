"""Replicas that are killed or stopped under load, again and again: nothing is lost, all is picked up."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.faults.campaign import SETTINGS, StartService, campaign, new_seed, scaled
from tests.support.service import Service

SHORT_S = 6
CHAOS = [pytest.mark.chaos, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    ("kills", "seconds", "rate"), [(2, SHORT_S, 30), pytest.param(scaled(100), scaled(600, 12), 100, marks=CHAOS)]
)
async def test_replicas_are_killed_under_load(
    start_service: StartService, database_url: str, tmp_path: Path, kills: float, seconds: float, rate: float
) -> None:
    services = [start_service(**SETTINGS) for _ in range(2)]
    async with campaign(services, database_url, tmp_path, rate, new_seed()) as run:
        free: asyncio.Queue[Service] = asyncio.Queue()
        restarts: list[asyncio.Task[None]] = []
        for service in run.draw.sample(services, len(services)):
            free.put_nowait(service)

        async def restart(victim: Service) -> None:
            await asyncio.sleep(run.draw.uniform(0, 2))
            await asyncio.to_thread(victim.start)
            await free.put(victim)

        for _ in range(round(kills)):
            due = time.monotonic() + seconds / kills
            await run.kill(victim := await free.get())
            restarts.append(asyncio.create_task(restart(victim)))
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*restarts)
    found = await run.conclude(
        f"{len(run.losses)} times kill -9 of one of two replicas at {rate:g} submissions a second",
        timed=seconds > SHORT_S,
    )
    assert found == []
    assert run.load.failed == []
    assert {row.state for row in run.load.seen.rows.values()} == {"Completed"}


@pytest.mark.parametrize(("stops", "rate"), [(2, 30), pytest.param(scaled(20, 2), 100, marks=CHAOS)])
async def test_replicas_are_stopped_one_after_the_other_under_load(
    start_service: StartService, database_url: str, tmp_path: Path, stops: float, rate: float
) -> None:
    """A rolling restart by SIGTERM: no submission fails after the client's own retry, no attempt is lost."""
    services = [start_service(**SETTINGS, drain_s="10") for _ in range(2)]
    took: list[float] = []
    async with campaign(services, database_url, tmp_path, rate, new_seed()) as run:
        for stop in range(round(stops)):
            await asyncio.sleep(1)
            service = services[stop % len(services)]
            began = time.monotonic()
            assert await asyncio.to_thread(service.stop) == 0, service.log
            took.append(time.monotonic() - began)
            await asyncio.to_thread(service.start)
    found = await run.conclude(
        f"{len(took)} restarts by SIGTERM, one replica after the other, at {rate:g} submissions a second",
        timed=False,
        longest_stop_s=round(max(took), 1),
    )
    assert found == []
    assert run.load.failed == []
    assert {row.state for row in run.load.seen.rows.values()} == {"Completed"}
    again = sum(runs - 1 for runs in run.load.seen.runs.values())
    assert again == 0, f"{again} attempts ran in vain"
