"""Reading the trail in bulk: nothing committed is left out, and what deviates is told from what was dropped."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.protocol.audit_heads import Entry
from app.storage import retention
from app.storage.database import driver_dsn
from app.storage.erasure import Erasures
from app.storage.errors import StorageUnavailable
from app.storage.trail import Checker, Deviation, Trail
from tests.faults.proxy import Proxy
from tests.storage.stored import Store, accepted_task, open_store, started
from tests.storage.test_retention import MONTH, finished, put_into_weeks, task_of


async def read(trail: Trail, since: datetime | None = None) -> dict[str, Entry]:
    async with trail.snapshot() as snapshot:
        return {entry.task_id: entry async for batch in snapshot.grown(since) for entry in batch}


async def entries(store: Store, since: datetime | None = None) -> dict[str, Entry]:
    trail = Trail(store.database)
    try:
        assert await trail.lead()
        return await read(trail, since)
    finally:
        await trail.close()


async def deviations(store: Store, named: dict[str, Entry]) -> list[Deviation]:
    async with Checker(store.database) as checker:
        return await checker.deviations(list(named.values()))


async def now(store: Store) -> datetime:
    moment: datetime = await store.sql.fetchval("SELECT clock_timestamp()")
    return moment


async def test_one_leads_until_its_connection_ends(store: Store) -> None:
    one, other = Trail(store.database), Trail(store.database)
    assert await one.lead()
    assert await one.lead()
    assert not await other.lead()
    await one.close()
    for _ in range(600):
        if await other.lead():
            break
        await asyncio.sleep(0.05)
    assert (one.leading, other.leading) == (False, True)
    await other.close()


async def test_every_task_and_then_those_that_have_grown(store: Store) -> None:
    tasks = [started(accepted_task()) for _ in range(3)]
    await store.put(*tasks)
    everything = await entries(store)
    assert everything == {
        task.task_id: Entry(task.task_id, row["sequence"], row["head_hash"])
        for task in tasks
        for row in [await store.row(task.task_id)]
    }
    since = await now(store)
    assert await entries(store, since) == {}
    tasks[1].complete(datetime.now(UTC), "{}", {})
    await store.put(tasks[1])
    (grown,) = (await entries(store, since)).values()
    row = await store.row(tasks[1].task_id)
    assert grown == Entry(tasks[1].task_id, row["sequence"], row["head_hash"])
    assert grown.sequence > everything[grown.task_id].sequence


async def test_what_was_written_counts_and_not_what_a_nodes_clock_says(store: Store) -> None:
    """A node whose clock is behind, or that tried for hours to get its change into the database, is not left out."""
    since = await now(store)
    late = accepted_task(submitted_at=datetime.now(UTC) - timedelta(hours=5))
    await store.put(late)
    assert set(await entries(store, since)) == {late.task_id}


async def test_a_commit_under_way_is_not_seen_and_found_later(store: Store) -> None:
    task = accepted_task()
    await store.put(task)
    connection = await asyncpg.connect(driver_dsn(store.url))
    try:
        transaction = connection.transaction()
        await transaction.start()
        begun = await now(store)
        columns = "name, sender, recipient, recorded_at, status, message, previous_hash, hash"
        await connection.execute(
            f"INSERT INTO history (task_id, sequence, {columns}) SELECT task_id, 4, {columns} FROM history "
            "WHERE task_id = $1 AND sequence = 3",
            task.task_id,
        )
        assert await entries(store, begun) == {}
        await transaction.commit()
    finally:
        await connection.close()
    assert (await entries(store, begun))[task.task_id].sequence == 4


async def test_what_was_written_lately_is_found_by_the_index(store: Store) -> None:
    await store.put(accepted_task())
    await store.sql.execute("SET enable_seqscan = off")
    plan = await store.sql.fetch("EXPLAIN SELECT FROM history WHERE written_at >= now()")
    assert any("written_at" in row[0] and "Bitmap Index Scan" in row[0] for row in plan), plan


CUT_HISTORY = "DELETE FROM history WHERE task_id = $1 AND sequence > 6"
CUT_ROW = """
UPDATE tasks SET (sequence, head_hash) = (SELECT sequence, hash FROM history WHERE task_id = $1 AND sequence = 6)
WHERE task_id = $1"""


@pytest.mark.parametrize(
    ("changes", "sequence", "what"),
    [
        ([CUT_HISTORY, CUT_ROW], 7, "missing: the head knows of 8 messages"),
        (["UPDATE history SET hash = repeat('0', 64) WHERE task_id = $1 AND sequence = 8"], 8, "altered"),
        (["DELETE FROM history WHERE task_id = $1", "DELETE FROM tasks WHERE task_id = $1"], None, "the task and all"),
        (["DELETE FROM history WHERE task_id = $1"], 1, "missing"),
        (["DELETE FROM tasks WHERE task_id = $1"], 8, "the task itself is missing"),
        (["UPDATE tasks SET sequence = 5 WHERE task_id = $1"], 6, "the task was set back"),
        (
            ["DELETE FROM history WHERE task_id = $1", "DELETE FROM tasks WHERE task_id = $1",
             "UPDATE retention SET oldest_kept = 'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
            None, "the task and all",
        ),
    ],
)  # fmt: skip
async def test_what_deviates(store: Store, changes: list[str], sequence: int | None, what: str) -> None:
    tasks = [finished(accepted_task(), 0) for _ in range(3)]
    await store.put(*tasks)
    named = await entries(store)
    assert await deviations(store, named) == []
    for change in changes:
        await store.sql.execute(change, *([tasks[1].task_id] if "$1" in change else []))
    (found,) = await deviations(store, named)
    assert (found.task_id, found.sequence, found.dropped) == (tasks[1].task_id, sequence, False)
    assert found.what.startswith(what)


async def test_what_went_on_or_was_erased_does_not_deviate(store: Store) -> None:
    over, going = finished(accepted_task(), 0), started(accepted_task())
    await store.put(over, going)
    named = await entries(store)
    assert await Erasures(store.database).erase(over.task_id, "alice") is not None
    going.complete(datetime.now(UTC), "{}", {})
    await store.put(going)
    assert await deviations(store, named) == []


async def test_what_retention_has_dropped_is_told_apart(store: Store) -> None:
    gone, waits, recent = finished(task_of(61), 61), task_of(61), finished(task_of(1), 1)
    await put_into_weeks(store, gone, waits, recent)
    named = await entries(store)
    await retention.prune(store.url, MONTH)
    (found,) = await deviations(store, named)
    assert (found.task_id, found.dropped) == (gone.task_id, True)
    await store.sql.execute("DELETE FROM tasks WHERE task_id = $1", waits.task_id)
    assert {each.task_id: each.dropped for each in await deviations(store, named)} == {
        gone.task_id: True,
        waits.task_id: False,
    }


async def test_a_connection_that_was_lost_is_opened_again(store: Store) -> None:
    trail = Trail(store.database)
    assert await trail.lead()
    await store.sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = "
        "hashtext('task_executor.audit_heads')::bit(32)::bigint::oid"
    )
    with pytest.raises(StorageUnavailable):
        await read(trail)
    assert not trail.leading
    assert await trail.lead()
    assert await read(trail) == {}
    await trail.close()


async def test_nobody_waits_for_a_network_that_is_silent(store: Store) -> None:
    async with Proxy(store.url) as proxy, open_store(proxy.url, sql_url=store.url) as beyond:
        trail = Trail(beyond.database)
        assert await trail.lead()
        proxy.black_hole = True
        with pytest.raises(StorageUnavailable):
            await asyncio.wait_for(read(trail), 30)
        assert not trail.leading
        proxy.black_hole = False
