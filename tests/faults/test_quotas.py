"""Quotas while replicas are killed: nobody is ever beyond one, and what is counted is what there is."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.campaign import SETTINGS, StartService, come_to_rest, new_seed, scaled
from tests.faults.spending import Spender, miscounted
from tests.support.service import Service
from tests.support.waiting import eventually

QUOTAS: dict[str, dict[str, Any]] = {
    "alice": {"queued": 4, "running": 2},
    "bob": {"held": {"cpu": 0.5}, "queued": 10, "running": 5},
    "carol": {"stored_bytes": 3_000},
}
REFUSED = {"alice": "queued", "bob": "queued", "carol": "stored_bytes"}
CHAOS = [pytest.mark.chaos, pytest.mark.timeout(3600)]


@asynccontextmanager
async def spending(services: list[Service], ledger: Path, draw: random.Random) -> AsyncIterator[list[Spender]]:
    """Three submitters spend what they have at all replicas while the block runs."""
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(services[0].client("root", "admin"))
        spenders = []
        for name, quota in QUOTAS.items():
            assert (await admin.put(f"/v1/admin/quotas/{name}", json=quota)).is_success
            clients = [await stack.enter_async_context(service.client(name)) for service in services]
            spenders.append(Spender(name, quota, clients, ledger, draw))
        stopping = asyncio.Event()
        at_work = [asyncio.create_task(spender.spend(stopping)) for spender in spenders]
        try:
            yield spenders
        finally:
            stopping.set()
            await asyncio.gather(*at_work)


async def until_all_are_refused(spenders: list[Spender]) -> None:
    """All have gone up to their limits since the last time."""
    for spender in spenders:
        spender.refused.clear()

    for spender in spenders:

        async def refused(spender: Spender = spender) -> int:
            return spender.refused[REFUSED[spender.name]]

        await eventually(refused, f"{spender.name} at the limit", 60)


@pytest.mark.parametrize(("replicas", "kills"), [(2, 1), pytest.param(3, round(scaled(30, 3)), marks=CHAOS)])
async def test_nobody_is_ever_beyond_a_quota_and_use_is_counted_right_whatever_is_killed(
    start_service: StartService, database_url: str, tmp_path: Path, replicas: int, kills: int
) -> None:
    services = [start_service(**SETTINGS | {"lease_s": "1"}) for _ in range(replicas)]
    draw = random.Random(new_seed())
    async with spending(services, tmp_path / "ledger", draw) as spenders:
        await until_all_are_refused(spenders)
        for kill in range(1, kills + 1):
            victim = draw.choice(services)
            await asyncio.to_thread(victim.kill)
            await until_all_are_refused(spenders)
            if kill < kills:
                await asyncio.to_thread(victim.start)
    services.remove(victim)
    await come_to_rest(services, database_url)
    accepted, looks = sum(len(each.accepted) for each in spenders), sum(each.samples for each in spenders)
    print(f"{kills} kills: {accepted} tasks accepted, {looks} looks at what is used")  # noqa: T201 - the report
    assert [each for spender in spenders for each in spender.violations] == []
    assert min(spender.samples for spender in spenders) > kills
    assert await miscounted(database_url, spenders) == []
    for spender in spenders:
        async with services[0].client(spender.name) as client:
            used = (await client.get("/v1/quota")).json()["used"]
        assert (used["queued"], used["running"], used["held"]) == (0, 0, {})
