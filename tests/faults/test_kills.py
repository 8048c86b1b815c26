"""Replicas that are killed under load, again and again: nothing is lost, nothing doubled, every history is whole."""

import asyncio
import itertools
import random
from collections.abc import Callable

import asyncpg
import httpx
import pytest

from tests.e2e.client import message
from tests.faults.evidence import Evidence
from tests.faults.invariants import looking_into, read_database, violations
from tests.support.service import Service
from tests.support.waiting import eventually

SUBMITTERS = 6


class Load:
    """Submitters that go on until told to stop; whoever gets no answer repeats the message elsewhere."""

    def __init__(self, clients: list[httpx.AsyncClient], draw: random.Random) -> None:
        self.seen = Evidence()
        self.repeated = 0
        self.stop = asyncio.Event()
        self._clients = clients
        self._draw = draw
        self._numbers = itertools.count()

    async def run(self) -> None:
        """One submitter."""
        while not self.stop.is_set():
            number = next(self._numbers)
            kind, parameters = ("sleep", {"seconds": 0.1}) if number % 5 == 0 else ("echo", {"number": number})
            await self._submit(message(kind, parameters, message_id=f"load-{number}", retry={"max_attempts": 100}))

    async def _submit(self, sent: dict[str, object]) -> None:
        for turn in itertools.count():
            client = self._clients[self._draw.randrange(len(self._clients))]
            try:
                response = await client.post("/v1/tasks", json=sent)
            except httpx.TransportError:
                response = None
            if response is not None and response.status_code in (200, 202):
                assert response.status_code == 202 or turn > 0, "a first try is never a repetition"
                self.seen.accepted.add(response.json()["body"]["details"]["task_id"])
                return
            assert response is None or response.status_code == 503, response.text
            self.repeated += 1
            await asyncio.wait([asyncio.ensure_future(self.stop.wait())], timeout=0.05)


async def until_at_rest(connection: asyncpg.Connection) -> None:
    """Waits until every task is over."""

    async def at_rest() -> bool:
        return not await connection.fetch("SELECT 1 FROM tasks WHERE finished_at IS NULL LIMIT 1")

    await eventually(at_rest, "every task over", within_s=60)


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)])])
async def test_replicas_are_killed_under_load(
    start_service: Callable[..., Service], database_url: str, kills: int
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure, to repeat it
    draw = random.Random(seed)
    services = [start_service(lease_s="2", capacity='{"cpu": 0.2}') for _ in range(2)]
    async with services[0].client() as one, services[1].client() as two, looking_into(database_url) as connection:
        load = Load([one, two], draw)
        submitters = [asyncio.create_task(load.run()) for _ in range(SUBMITTERS)]
        for _ in range(kills):
            victim = draw.choice(services)
            await asyncio.to_thread(victim.kill)
            await asyncio.to_thread(victim.start)
        load.stop.set()
        await asyncio.gather(*submitters)
        await until_at_rest(connection)
        await read_database(load.seen, connection)
        doubled = await connection.fetch("SELECT message_id FROM tasks GROUP BY message_id HAVING count(*) > 1")
    assert violations(load.seen) == []
    assert doubled == []
    assert load.repeated > 0, "the kills were felt"
    assert {row.state for row in load.seen.rows.values()} == {"Completed"}
