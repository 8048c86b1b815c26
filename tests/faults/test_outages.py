"""The database away in every way that can be made here: refusals in time, nothing lost, and back by itself."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from app.storage.database import driver_dsn
from tests.e2e.client import message, submit
from tests.faults.outages import Observed, observed
from tests.faults.own_postgres import OwnPostgres, own_postgres
from tests.faults.proxy import Proxy
from tests.support.machine import need_root
from tests.support.waiting import eventually


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[OwnPostgres]:
    async with own_postgres(tmp_path / "own") as started:
        yield started


def note(what: str, seconds: float) -> None:
    """A figure for docs/reliability.md; `pytest -rP` shows it."""
    print(f"{what}: {seconds:.2f} s")  # noqa: T201 - see above


async def go_through(watch: Observed, what: str, back: Callable[[], Awaitable[None]]) -> None:
    """The database has just gone: refusals when that is not known yet, and when it is; then it comes back."""
    calls = [*watch.reads(), *watch.writes()]
    note(f"{what}, first refusals", await watch.expect_refusals(calls))
    note(f"{what}, later refusals", await watch.expect_refusals([*watch.reads(), *watch.writes()]))
    await back()
    note(f"{what}, back after", await watch.until_back())


async def test_frozen_stopped_and_crashed(tmp_path: Path, postgres: OwnPostgres) -> None:
    async with observed(tmp_path, postgres.url) as watch:

        async def thaw() -> None:
            postgres.thaw()

        postgres.freeze()
        await go_through(watch, "frozen", thaw)
        await postgres.stop()
        await go_through(watch, "stopped", postgres.start)
        await postgres.crash()
        await go_through(watch, "crashed", postgres.start)
        await watch.settle(postgres.url)


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=[pytest.mark.chaos, pytest.mark.timeout(900)])])
async def test_restarted_under_load(tmp_path: Path, postgres: OwnPostgres, times: int) -> None:
    async with observed(tmp_path, postgres.url) as watch:
        stop = asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                sent = message("echo")
                response = await watch.client.post("/v1/tasks", json=sent)
                assert response.status_code in (202, 503), response.text
                if response.status_code == 503:
                    watch.in_doubt.append(sent)
                else:
                    watch.seen.accepted.add(response.json()["body"]["details"]["task_id"])

        submitters = [asyncio.create_task(load()) for _ in range(4)]
        for how in (signal.SIGQUIT, signal.SIGINT) * times:
            await postgres.restart(how)
            note(f"restarted by {how.name}, back after", await watch.until_back())
        stop.set()
        await asyncio.gather(*submitters)
        await watch.settle(postgres.url)


async def test_a_black_hole(tmp_path: Path, database_url: str) -> None:
    async with Proxy(database_url) as proxy, observed(tmp_path, proxy.url) as watch:

        async def gone() -> None:
            proxy.black_hole = False

        proxy.black_hole = True
        await go_through(watch, "a black hole", gone)
        await watch.settle(database_url)


async def test_read_only(tmp_path: Path, postgres: OwnPostgres) -> None:
    # Whose counts are kept in the database, and drawn by reading calls too.
    async with observed(tmp_path, postgres.url, rate_limit="off") as watch:
        await postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")

        async def refused() -> bool:
            return (await watch.client.get("/readyz")).status_code == 503

        await eventually(refused, "not ready")
        note("read-only, refusals", await watch.expect_refusals(watch.writes()))
        for answer in await watch.ask([("GET", f"/v1/tasks/{watch.over}", {}), ("GET", "/v1/tasks", {})]):
            assert answer.response.status_code == 200, "what only reads goes on"
        await postgres.execute(
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )
        note("read-only, back after", await watch.until_back())
        await watch.settle(postgres.url)


async def test_out_of_connections(tmp_path: Path, postgres: OwnPostgres) -> None:
    """Whoever has connections goes on; what would need another one is refused, and waits for nothing."""
    async with observed(tmp_path, postgres.url) as watch:
        hoard: list[asyncpg.Connection] = []
        try:
            while True:
                hoard.append(await asyncpg.connect(driver_dsn(postgres.url)))
        except asyncpg.TooManyConnectionsError:
            pass
        answers = await watch.ask([*watch.reads()[2:4] * 20, *watch.writes()[:2] * 10])
        for answer in answers:
            assert answer.response.status_code in (200, 202, 503), answer.response.text
            assert answer.seconds < 10
        note("out of connections, slowest answer", max(answer.seconds for answer in answers))
        for connection in hoard:
            await connection.close()
        note("out of connections, back after", await watch.until_back())
        await watch.settle(postgres.url)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MB in memory."""
    need_root()
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount a file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    async with own_postgres(small_disk / "own") as postgres, observed(tmp_path, postgres.url) as watch:
        ballast = small_disk / "ballast"
        room = os.statvfs(small_disk)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)

        async def full() -> bool:
            sent = message("echo", {"text": "x" * 100_000})
            watch.in_doubt.append(sent)
            return (await watch.client.post("/v1/tasks", json=sent)).status_code == 503

        await eventually(full, "the disk is full", within_s=60)
        [ready, _] = await watch.ask([("GET", "/readyz", {}), ("GET", f"/v1/tasks/{watch.over}", {})])
        assert ready.response.status_code == 503
        ballast.unlink()
        note("a full disk, back after", await watch.until_back())
        await watch.settle(postgres.url)


async def test_a_running_task_outlives_a_short_outage(tmp_path: Path, postgres: OwnPostgres) -> None:
    """Shorter than its lease: its result waits for the database."""
    async with observed(tmp_path, postgres.url, lease_s="60") as watch:
        task_id = await submit(watch.client, "sleep", {"seconds": 2})
        watch.seen.accepted.add(task_id)
        postgres.freeze()
        await watch.expect_refusals(watch.reads())
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=2.5)
        postgres.thaw()
        await watch.until_back()
        await watch.settle(postgres.url)
        details = (await watch.client.get(f"/v1/tasks/{task_id}")).json()["body"]["details"]
        assert details["attempt"] == 1


async def test_attempts_stop_when_their_lease_ends(tmp_path: Path, postgres: OwnPostgres) -> None:
    """Longer than its lease: it stops, is handed back when the database is there, and runs again, as one attempt."""
    async with observed(tmp_path, postgres.url, lease_s="2") as watch:
        task_id = await submit(watch.client, "sleep", {"seconds": 8}, retry={"max_attempts": 1})
        watch.seen.accepted.add(task_id)
        postgres.freeze()

        async def stopped() -> bool:
            lines = [line for line in watch.service.log.splitlines() if "its lease has run out" in line]
            return any(task_id in line for line in lines)

        await eventually(stopped, "the attempt was stopped", within_s=20)

        async def at_rest() -> bool:
            return "task_executor_running 0.0" in (await watch.client.get("/metrics")).text.splitlines()

        await eventually(at_rest, "nothing runs")
        postgres.thaw()
        await watch.until_back()
        await watch.settle(postgres.url)
        body = (await watch.client.get(f"/v1/tasks/{task_id}")).json()["body"]
        assert (body["status"], body["details"]["attempt"]) == ("Completed", 1)
