"""Postgres crashes under load, with all of its processes: what was acknowledged is there, and all of it gets done."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import SETTINGS, StartService, campaign, new_seed, scaled
from tests.faults.crashing_postgres import crashing_postgres
from tests.support.service import Service

CHAOS = [pytest.mark.chaos, pytest.mark.timeout(3600)]


@pytest.fixture
def start_on(tmp_path: Path) -> Iterator[StartService]:
    """Starts a service on the database with this URL, as often as called; all are stopped at the end."""
    started: list[Service] = []

    def start(url: str, **settings: str) -> Service:
        service = Service(tmp_path, url, settings)
        started.append(service)
        return service.start()

    yield start
    for service in started:
        service.close()


@pytest.mark.parametrize(("crashes", "rate"), [(1, 30), pytest.param(scaled(12), 100, marks=CHAOS)])
async def test_postgres_crashes_under_load(start_on: StartService, tmp_path: Path, crashes: float, rate: float) -> None:
    async with crashing_postgres(tmp_path / "postgres") as postgres:
        services = [await asyncio.to_thread(start_on, postgres.url, **SETTINGS) for _ in range(2)]
        async with campaign(services, postgres.url, tmp_path, rate, new_seed()) as run:
            for _ in range(round(crashes)):
                await asyncio.sleep(run.draw.uniform(2, 4))
                await postgres.crash()
            await asyncio.sleep(2)
        found = await run.conclude(
            f"{len(postgres.outages_s)} crashes of Postgres at {rate:g} submissions a second over two replicas",
            timed=False,
            longest_outage_s=round(max(postgres.outages_s), 1),
        )
        for service in services:
            await asyncio.to_thread(service.close)
    assert found == []
    assert run.load.failed == []
    assert {row.state for row in run.load.seen.rows.values()} == {"Completed"}
