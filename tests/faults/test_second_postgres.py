"""Another Postgres takes the place of the first: what was acknowledged is there, as far as it can be, and goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.client import message, status, submit, until_over
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.faults.outages import until_at_rest
from tests.faults.own_postgres import OwnPostgres, own_postgres
from tests.faults.proxy import Proxy
from tests.faults.second_postgres import admit_copies, copy_for_restore, kept_log, promote, standby_of, until_writable
from tests.support.service import Service
from tests.support.waiting import eventually

SETTINGS = {"lease_s": "2", "drain_s": "1", "rate_limit": "off", "shutdown_notice_s": "0"}
RUNS_S = 0.5


@asynccontextmanager
async def served(folder: Path, url: str) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """A service on this database, and a submitter."""
    service = Service(folder, url, SETTINGS)
    await asyncio.to_thread(service.start)
    await asyncio.to_thread(service.token)
    try:
        async with service.client() as client:
            yield service, client
    finally:
        await asyncio.to_thread(service.close)


class Submitters:
    """They send one message after another, and each again until it is accepted."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.accepted: set[str] = set()
        self._client = client
        self._stop = asyncio.Event()
        self._working = [asyncio.create_task(self._work()) for _ in range(4)]

    async def accept(self, more: int) -> None:
        """Waits until so many more are accepted."""
        target = len(self.accepted) + more

        async def reached() -> bool:
            return len(self.accepted) >= target

        await eventually(reached, f"{more} more accepted", within_s=60)

    async def stop(self) -> None:
        """Sends nothing new."""
        self._stop.set()
        await asyncio.gather(*self._working)

    async def _work(self) -> None:
        while not self._stop.is_set():
            self.accepted.add(await until_accepted(self._client, message("echo")))


async def until_accepted(client: httpx.AsyncClient, sent: dict[str, Any]) -> str:
    """Sends a message until it is accepted; answers the task's id."""

    async def taken() -> str | None:
        answer = await client.post("/v1/tasks", json=sent)
        assert answer.status_code in (200, 202, 503), answer.text
        return None if answer.status_code == 503 else answer.json()["body"]["details"]["task_id"]

    found = await eventually(taken, "accepted", within_s=60)
    assert found is not None
    return found


async def until_attempt(client: httpx.AsyncClient, task_id: str, number: int) -> None:
    """Waits until this attempt of the task runs."""

    async def runs() -> bool:
        body = await status(client, task_id)
        return (body["status"], body["details"]["attempt"]) == ("Executing", number)

    await eventually(runs, f"attempt {number} runs", within_s=30)


async def check(url: str, accepted: set[str]) -> Evidence:
    """Everything that was accepted is there and comes to its end, and everything holds."""
    seen = Evidence(accepted=accepted)
    async with looking_into(url) as connection:
        await until_at_rest(connection)
        await read_database(seen, connection)
    assert violations(seen) == []
    return seen


async def until_it_has_all(first: OwnPostgres) -> None:
    """Waits until the standby has received everything."""
    question = "SELECT bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication"
    await eventually(lambda: first.ask(question), "the standby has caught up")


async def take_over(first: OwnPostgres, second: OwnPostgres, proxy: Proxy) -> None:
    """The first dies, and what leads to it leads to the second from then on."""
    proxy.away = True
    proxy.cut()
    await first.crash()
    await promote(second)
    proxy.lead_to(second.url)
    proxy.away = False


@pytest.mark.parametrize("submissions", [40, pytest.param(2_000, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)])])
async def test_a_synchronous_standby_has_everything_that_was_acknowledged(tmp_path: Path, submissions: int) -> None:
    async with (
        own_postgres(tmp_path / "first") as first,
        standby_of(first, tmp_path / "second") as second,
        Proxy(first.url) as proxy,
        served(tmp_path, proxy.url) as (service, client),
    ):
        await first.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        running = await submit(client, "sleep", {"seconds": RUNS_S}, retry={"max_attempts": 9})
        submitters = Submitters(client)
        await submitters.accept(submissions)
        await take_over(first, second, proxy)
        await submitters.accept(submissions // 2)
        await submitters.stop()
        await until_over(client, running)
        seen = await check(second.url, submitters.accepted | {running})
        assert {row.state for row in seen.rows.values()} == {"Completed"}
        assert "Traceback" not in service.log


@pytest.mark.chaos
async def test_an_asynchronous_standby_lacks_what_it_had_not_received_and_nothing_else(tmp_path: Path) -> None:
    """What is lost so can be sent again; who asks for it is told that it is not there."""
    async with (
        own_postgres(tmp_path / "first") as first,
        standby_of(first, tmp_path / "second") as second,
        Proxy(first.url) as proxy,
        served(tmp_path, proxy.url) as (service, client),
    ):
        kept = {await submit(client, "echo") for _ in range(10)}
        for task_id in kept:
            await until_over(client, task_id)
        await until_it_has_all(first)
        await second.execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        await eventually(lambda: second.ask("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"), "cut off")
        lost = [message("echo") for _ in range(5)]
        gone = [await until_accepted(client, sent) for sent in lost]
        await take_over(first, second, proxy)
        again = [await until_accepted(client, sent) for sent in lost]
        assert not set(again) & set(gone)
        assert [(await client.get(f"/v1/tasks/{task_id}")).status_code for task_id in gone] == [404] * 5
        seen = await check(second.url, kept | set(again))
        assert seen.rows.keys() == kept | set(again)
        assert "Traceback" not in service.log


async def test_a_restore_to_a_moment_goes_on_from_there(tmp_path: Path) -> None:
    """Backup and log: nothing from before is missing, what ran then is run again, each history is whole."""
    async with own_postgres(tmp_path / "first") as first, served(tmp_path, first.url) as (_, client):
        before = {await submit(client, "echo") for _ in range(10)}
        await admit_copies(first)
        async with kept_log(first) as log:
            second = await copy_for_restore(first, tmp_path / "second", log, "before")
            running = await submit(client, "sleep", {"seconds": 600}, retry={"max_attempts": 9})
            before |= {running, *[await submit(client, "echo") for _ in range(10)]}
            for task_id in before - {running}:
                await until_over(client, task_id)
            await until_attempt(client, running, 1)
            await first.execute("SELECT pg_create_restore_point('before')")
            after = [message("echo") for _ in range(5)]
            gone = [await until_accepted(client, sent) for sent in after]
            await client.post(f"/v1/tasks/{running}/cancel")
            await until_over(client, running)
    await second.start()
    try:
        await until_writable(second)
        async with served(tmp_path, second.url) as (service, client):
            await until_attempt(client, running, 2)
            await client.post(f"/v1/tasks/{running}/cancel")
            again = [await until_accepted(client, sent) for sent in after]
            assert not set(again) & set(gone)
            seen = await check(second.url, before | set(again))
            assert seen.rows.keys() == before | set(again)
            verified = await asyncio.to_thread(service.command, "audit", "verify", "--all")
            assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        await second.stop()
