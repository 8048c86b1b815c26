"""A long time with one fault after another: kills, freezes, stops, cut connections; and processes that do not grow."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.faults.campaign import LEASE_S, SETTINGS, Campaign, StartService, campaign, footprint, new_seed
from tests.faults.invariants import looking_into
from tests.support.service import Service

SOAK_S = float(os.environ.get("SOAK_S", "1800"))
WARM_S = 5.0


class Trouble:
    """One fault at a time, each followed by some quiet."""

    def __init__(self, run: Campaign) -> None:
        self._run = run
        self.faults: dict[str, int] = {}

    async def go_on(self, seconds: float) -> None:
        """For so long."""
        kinds: list[Callable[[Service], Awaitable[None]]] = [self._kill, self._freeze, self._stop, self._cut]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            act = self._run.draw.choice(kinds)
            name = act.__name__.strip("_")
            self.faults[name] = self.faults.get(name, 0) + 1
            await act(self._run.draw.choice(self._run.services))
            await asyncio.sleep(self._run.draw.uniform(0, 2 * LEASE_S))

    async def _kill(self, service: Service) -> None:
        await self._run.kill(service)
        await asyncio.sleep(self._run.draw.uniform(0, 2))
        await asyncio.to_thread(service.start)

    async def _stop(self, service: Service) -> None:
        await asyncio.to_thread(service.stop)
        await asyncio.to_thread(service.start)

    async def _freeze(self, service: Service) -> None:
        """For longer than a lease as often as for less."""
        os.kill(service.process_id, signal.SIGSTOP)
        await asyncio.sleep(LEASE_S * self._run.draw.choice((0.5, 2.0)))
        os.kill(service.process_id, signal.SIGCONT)

    async def _cut(self, _service: Service) -> None:
        """Every connection of both services to the database."""
        cut = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'task-executor' AND datname = current_database() AND pid <> pg_backend_pid()"""
        async with looking_into(self._run.database_url) as connection:
            await connection.fetch(cut)


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [pytest.param(SOAK_S, 50, marks=[pytest.mark.chaos, pytest.mark.timeout(SOAK_S + 1800)])],
)
async def test_a_long_time_of_trouble(
    start_service: StartService, database_url: str, tmp_path: Path, seconds: float, rate: float
) -> None:
    services = [start_service(**SETTINGS, drain_s="5") for _ in range(2)]
    async with campaign(services, database_url, tmp_path, rate, new_seed()) as run:
        await asyncio.sleep(WARM_S)
        trouble = Trouble(run)
        await trouble.go_on(seconds)
        # The last processes of both, after some load and again at rest.
        await asyncio.sleep(WARM_S)
        before = [footprint(service) for service in services]
    for service, was in zip(services, before, strict=True):
        run.load.seen.footprints[service.url] = (was, footprint(service))
    found = await run.conclude(
        f"{seconds:g} s of one fault after another at {rate:g} submissions a second", timed=False, faults=trouble.faults
    )
    assert found == []
    assert run.load.failed == []
    assert {row.state for row in run.load.seen.rows.values()} == {"Completed"}
