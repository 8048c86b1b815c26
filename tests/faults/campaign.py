"""A run of the service under load while something is done to it: replicas, their load, and what is seen of both."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from tests.faults.evidence import Footprint
from tests.faults.figures import report
from tests.faults.invariants import looking_into
from tests.faults.load import Load
from tests.faults.pages import violations_in_all
from tests.faults.recorded import runs_in
from tests.support.service import Service
from tests.support.waiting import eventually

LEASE_S = 3
SETTINGS = {
    "task_types": "tests.faults.recorded",
    "lease_s": str(LEASE_S),
    "capacity": '{"cpu": 2}',
    "rate_limit": "off",
    "log_format": "json",
    "log_level": "warn",
}
REST_WITHIN_S = 120.0


def scaled(amount: float, least: float = 1) -> float:
    """An amount of a long run, by CHAOS_SCALE: 1 is the whole of it, 0.05 tries it out."""
    return max(least, amount * float(os.environ.get("CHAOS_SCALE", "1")))


def new_seed() -> int:
    """A seed, printed, so that a run can be repeated: CHAOS_SEED gives it."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CHAOS_SEED={seed}")  # noqa: T201 - shown with a failure, and in the report
    return seed


@dataclass
class Campaign:
    """See the module's docstring. `losses` are the moments at which a replica was killed."""

    services: list[Service]
    load: Load
    database_url: str
    draw: random.Random
    ledger: Path
    losses: list[datetime] = field(default_factory=list)

    async def kill(self, service: Service) -> None:
        """As kill -9."""
        await asyncio.to_thread(service.kill)
        self.losses.append(datetime.now(UTC))

    async def conclude(self, title: str, *, timed: bool, **figures: object) -> list[str]:
        """What was violated, after everything has come to rest; prints the report.

        `timed` says that orphans have to be picked up in time, which a busy machine may not allow in a short run.
        """
        seen = self.load.seen
        seen.runs = dict(runs_in(self.ledger))
        seen.logs = {service.url: service.log for service in self.services}
        seen.pickup_limit_s = LEASE_S + 2.0 if timed else float("inf")
        async with looking_into(self.database_url) as connection:
            found = await violations_in_all(seen, connection, self.losses)
        print(report(title, self.load, found, **figures))  # noqa: T201 - the report
        return found


@asynccontextmanager
async def campaign(
    services: list[Service], database_url: str, folder: Path, rate: float, seed: int
) -> AsyncIterator[Campaign]:
    """The load goes on while the block runs; after it the load has stopped and everything has come to rest."""
    draw, ledger = random.Random(seed), folder / "ledger"
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=40)
    clients = [service.client(limits=limits, timeout=15) for service in services]
    load = Load(clients, ledger, rate, draw)
    under_load = asyncio.create_task(load.run())
    made = Campaign(services, load, database_url, draw, ledger)
    try:
        yield made
    finally:
        load.stop()
        await under_load
        for client in clients:
            await client.aclose()
    await come_to_rest(services, database_url)


async def come_to_rest(services: Sequence[Service], database_url: str) -> None:
    """Waits until every task is over and nobody holds anything."""

    async def at_rest() -> bool:
        async with looking_into(database_url) as connection:
            busy = "SELECT 1 FROM tasks WHERE finished_at IS NULL OR lease_owner IS NOT NULL LIMIT 1"
            return not await connection.fetch(busy)

    await eventually(at_rest, "every task over", REST_WITHIN_S)
    for service in services:
        async with service.client() as client:

            async def nothing_held(client: httpx.AsyncClient = client) -> bool:
                """Also by the last word of nodes that are no more, which counts for the time of a lease."""
                shown = (await client.get("/v1/resources")).json()["allocated"]
                return not any(shown.values())

            await eventually(nothing_held, f"nothing allocated at {service.url}", 10 * LEASE_S)


def footprint(service: Service) -> Footprint:
    """What the service's process takes at this moment."""
    process = psutil.Process(service.process_id)
    return Footprint(
        process.memory_info().rss / 2**20,
        process.num_fds(),
        len(process.children(recursive=True)),
        sum(each.raddr != () and each.raddr.port == 5432 for each in process.net_connections("inet")),
    )


StartService = Callable[..., Service]
