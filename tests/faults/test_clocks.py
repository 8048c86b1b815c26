"""Replicas whose machines have wrong clocks, turned while they run: nothing is lost, late, early or out of order."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.e2e.client import from_now, submit, until_over
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.support.service import ROOT, Service
from tests.support.waiting import eventually

SETTINGS = {
    "lease_s": "2",
    "rate_limit": "off",
    "drain_s": "0",
    "shutdown_notice_s": "0",
    "backoff_initial_s": "0.1",
    "backoff_max_s": "0.1",
}
TEN_MINUTES_S, HOUR_S = 600.0, 3600.0
SOON = timedelta(seconds=5)
"""Much less than any clock here is wrong by."""


class Replica:
    """A service on a machine of its own, as far as the clock goes."""

    def __init__(self, folder: Path, name: str, database_url: str) -> None:
        self._clock = folder / f"clock-{name}"
        self._clock.touch()
        self.service = Service(folder, database_url, SETTINGS, from_scratch=True)
        self.service.environment["PYTHONPATH"] = f"{ROOT / 'tests/support/turned_clock'}:{ROOT}"
        self.service.environment["TURNED_CLOCK"] = str(self._clock)
        self.node = ""

    def turn(self, seconds: float) -> None:
        """The machine's clock is so far ahead of the right time from now on."""
        with self._clock.open("r+b") as file:
            file.write(struct.pack("d", seconds))


@asynccontextmanager
async def replicas(folder: Path, url: str) -> AsyncIterator[list[tuple[Replica, httpx.AsyncClient]]]:
    """One whose clock is ten minutes ahead, and one whose clock is ten minutes behind; a client of each."""
    ahead, behind = Replica(folder, "ahead", url), Replica(folder, "behind", url)
    ahead.turn(TEN_MINUTES_S)
    behind.turn(-TEN_MINUTES_S)
    try:
        await asyncio.gather(*(asyncio.to_thread(each.service.start) for each in (ahead, behind)))
        # Tokens are judged by the machine's clock: one that was made ten minutes ago is valid for both.
        issued = await asyncio.to_thread(behind.service.command, "token", "--subject", "alice", "--role", "submitter")
        headers = {"Authorization": f"Bearer {issued.stdout.strip()}"}
        async with (
            httpx.AsyncClient(base_url=ahead.service.url, headers=headers, timeout=30) as one,
            httpx.AsyncClient(base_url=behind.service.url, headers=headers, timeout=30) as two,
        ):
            for replica, client in ((ahead, one), (behind, two)):
                replica.node = (await client.get("/readyz")).json()["node"]
            yield [(ahead, one), (behind, two)]
    except BaseException:
        print(ahead.service.log, behind.service.log, sep="\n---\n")  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        await asyncio.gather(*(asyncio.to_thread(each.service.close) for each in (ahead, behind)))


async def holder_of(sql: asyncpg.Connection, task_id: str) -> str | None:
    """The node that executes the task."""
    row = await sql.fetchrow("SELECT lease_owner, state FROM tasks WHERE task_id = $1", task_id)
    holder: str | None = row["lease_owner"] if row["state"] == "Executing" else None
    return holder


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)])])
async def test_wrong_clocks_are_made_up_for(tmp_path: Path, database_url: str, rounds: int) -> None:
    begin = datetime.now(UTC)
    seen = Evidence()
    async with replicas(tmp_path, database_url) as both, looking_into(database_url) as sql:
        for _ in range(rounds):
            dated, tried_again, long = [], [], []
            for _, client in both:
                dated += [await submit(client, "echo", deadline=from_now(minutes=2)) for _ in range(5)]
                once = {"timeout_s": 0.05, "retry": {"max_attempts": 2, "initial_s": 0.1}}
                tried_again.append(await submit(client, "sleep", {"seconds": 60}, **once))
                long.append(await submit(client, "sleep", {"seconds": 1}, deadline=from_now(minutes=2)))
            for turn_s, (replica, _) in zip((-HOUR_S, TEN_MINUTES_S), both, strict=True):
                replica.turn(turn_s)
            dated += [await submit(client, "echo", deadline=from_now(minutes=2)) for _, client in both]
            seen.accepted |= {*dated, *tried_again, *long}
            for task_id in (*dated, *long):
                assert (await until_over(both[0][1], task_id))["status"] == "Completed"
            for task_id in tried_again:
                body = await until_over(both[1][1], task_id)
                assert (body["details"]["reason"], body["details"]["attempt"]) == ("timed_out", 2)
        handed_back = await submit(both[0][1], "sleep", {"seconds": 600})
        first = await eventually(partial(holder_of, sql, handed_back), "it runs")
        (holder, _), (_, client) = both if both[0][0].node == first else reversed(both)
        await asyncio.to_thread(holder.service.stop)
        second = await eventually(partial(holder_of, sql, handed_back), "it runs at the other")
        assert second != first
        await client.post(f"/v1/tasks/{handed_back}/cancel")
        await until_over(client, handed_back)
        seen.accepted.add(handed_back)
        await read_database(seen, sql)
        moments = await sql.fetchrow("SELECT min(recorded_at) AS first, max(recorded_at) AS last FROM history")
    assert violations(seen) == []
    assert begin - SOON < moments["first"] < moments["last"] < datetime.now(UTC) + SOON
    for replica, _ in both:
        assert "the clock is set by the database's" in replica.service.log
        assert "Traceback" not in replica.service.log
