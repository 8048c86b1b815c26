"""Retention: whole weeks go, and nothing goes that is not over, or ended lately."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.protocol.callbacks import Registration, sink_of
from app.protocol.ids import uuid7
from app.protocol.task import Task
from app.storage import retention
from app.storage.deliveries import FORGOTTEN, Deliveries
from app.storage.errors import DuplicateMessage
from app.storage.queries import Queries
from app.storage.retention import PrunedWeek, StillLocked
from app.storage.usage import Usage, Use
from tests.storage.stored import Store, accepted_task, claim, open_store, started

MONTH = timedelta(days=30)


def task_of(days_ago: float, **members: object) -> Task:
    """An accepted task, submitted so many days ago."""
    moment = datetime.now(UTC) - timedelta(days=days_ago)
    task_id = str(uuid7(int(moment.timestamp() * 1000), random.getrandbits(74)))
    return accepted_task(task_id=task_id, submitted_at=moment, **members)


def finished(task: Task, days_ago: float) -> Task:
    """Takes an accepted task to its end, so many days ago."""
    started(task).complete(datetime.now(UTC) - timedelta(days=days_ago), "{}", {})
    return task


@pytest.fixture
async def deliveries(store: Store) -> AsyncIterator[Deliveries]:
    made = Deliveries(store.database)
    yield made
    await made.close()


def called(task: Task) -> Task:
    """The same, with a callback."""
    task.callback = True
    origin = "https://a.example"
    task.registration = Registration(f"{origin}/hook", sink_of(origin, "alice"), None, "response", None)
    return task


def week_of(task: Task) -> str:
    year, week, _ = task.submitted_at.isocalendar()
    return f"{year}w{week:02d}"


async def put_into_weeks(store: Store, *tasks: Task) -> None:
    """Stores the tasks, each in a partition of its week."""
    for task in tasks:
        for parent in ("tasks", "history"):
            await store.sql.execute(
                "SELECT make_week($1, date_trunc('week', $2::timestamptz AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')",
                parent, task.submitted_at,
            )  # fmt: skip
    await store.put(*tasks)


async def weeks(store: Store) -> set[str]:
    rows = await store.sql.fetch("SELECT relname FROM pg_class WHERE relname ~ '^(tasks|history)_[0-9]{4}w[0-9]{2}$'")
    return {row[0] for row in rows}


async def prune(store: Store, older_than: timedelta = MONTH, **options: bool) -> list[PrunedWeek]:
    return (await retention.prune(store.url, older_than, **options)).weeks


async def test_a_week_whose_time_has_passed_goes_whole(store: Store) -> None:
    old, recent = [finished(task_of(60), 60) for _ in range(3)], finished(task_of(1), 1)
    await put_into_weeks(store, *old, recent)
    before = await weeks(store)
    (pruned,) = await prune(store)
    assert (pruned.week, pruned.dropped, pruned.kept) == (week_of(old[0]), 3, 0)
    assert pruned.bytes > 0
    assert before - await weeks(store) == {f"tasks_{pruned.week}", f"history_{pruned.week}"}
    assert [row[0] for row in await store.sql.fetch("SELECT task_id::text FROM tasks")] == [recent.task_id]
    assert await store.items(old[0].task_id) == []
    await store.check_whole([recent.task_id])
    assert await prune(store) == []
    assert await store.sql.fetchval("SELECT week || dropped FROM prunings") == f"{pruned.week}3"


async def test_what_is_not_over_or_ended_lately_outlives_its_week(store: Store) -> None:
    waiting, late, gone = task_of(61), finished(task_of(61), 3), finished(task_of(61), 61)
    await put_into_weeks(store, waiting, late, gone)
    (pruned,) = await prune(store)
    assert (pruned.dropped, pruned.kept) == (1, 2)
    await store.check_whole([waiting.task_id, late.task_id])
    (claimed,) = await claim(store.leases, 10)
    assert claimed.task_id == waiting.task_id
    await store.put(finished(claimed, 0))
    await store.check_whole([waiting.task_id])


async def test_webhooks_of_dropped_tasks_go_and_what_is_dropped_counts_to_no_quota(
    store: Store, deliveries: Deliveries
) -> None:
    usage = Usage(store.database)
    await usage.begin()
    old = [finished(called(task_of(61)), 61) for _ in range(FORGOTTEN + 20)]
    late, young = finished(called(task_of(61)), 3), called(task_of(1))
    running = started(called(task_of(61)))
    await put_into_weeks(store, *old, late, young, running)
    for task in (old[0], late):
        await store.sql.execute(
            "INSERT INTO delivery_attempts VALUES ($1, 1, 1, 2, now(), '2xx', 7, NULL)", task.task_id
        )
    assert (await usage.of("alice")).stored_bytes > FORGOTTEN * 100
    (pruned,) = await prune(store)
    assert (pruned.dropped, pruned.kept) == (len(old), 2)
    assert [await deliveries.forget() for _ in range(3)] == [FORGOTTEN, 20, 0]
    kept = {late.task_id, young.task_id, running.task_id}
    assert {str(row[0]) for row in await store.sql.fetch("SELECT task_id FROM deliveries")} == kept
    assert [str(row[0]) for row in await store.sql.fetch("SELECT task_id FROM delivery_attempts")] == [late.task_id]
    stored = sum(len(task.submission) for task in (late, young, running)) + len("{}")
    assert await usage.of("alice") == Use(1, 1, stored, {"cpu": 10})
    # Those that outlived their week go later, and their webhooks then.
    await store.sql.execute("UPDATE tasks SET finished_at = now() - interval '31 days' WHERE finished_at IS NOT NULL")
    assert (await retention.prune(store.url, MONTH)).stragglers == 1
    assert [await deliveries.forget() for _ in range(2)] == [1, 0]
    assert await store.sql.fetchval("SELECT count(*) FROM delivery_attempts") == 0
    assert await usage.recount(repair=False) == []


async def test_what_outlived_its_week_goes_when_its_own_time_has_passed(store: Store) -> None:
    late, waiting = finished(task_of(61), 3), task_of(61)
    await put_into_weeks(store, late, waiting)
    await prune(store)
    await store.sql.execute("UPDATE tasks SET finished_at = now() - interval '31 days' WHERE finished_at IS NOT NULL")
    assert (await retention.prune(store.url, MONTH)).stragglers == 1
    assert [row[0] for row in await store.sql.fetch("SELECT task_id::text FROM tasks")] == [waiting.task_id]
    assert await store.items(late.task_id) == []
    await store.put(accepted_task(idempotency_key=late.idempotency_key))
    with pytest.raises(DuplicateMessage):
        await store.put(accepted_task(idempotency_key=waiting.idempotency_key))


async def test_a_key_is_free_again_when_its_task_is_gone_and_not_before(store: Store) -> None:
    """Over five weeks of pruning, in which the two tables of keys change names."""
    queries = Queries(store.database)
    held = task_of(100)
    tasks = [finished(task_of(days), days) for days in (100, 93, 86, 79, 72)]
    await put_into_weeks(store, held, *tasks)
    for number, task in enumerate(tasks):
        older_than = datetime.now(UTC) - task.submitted_at - timedelta(days=8)
        with pytest.raises(DuplicateMessage):
            await store.put(accepted_task(idempotency_key=task.idempotency_key))
        assert [week.week for week in await prune(store, older_than)] == [week_of(task)]
        assert await queries.find_submission("alice", task.idempotency_key) is None
        await store.put(accepted_task(idempotency_key=task.idempotency_key))
        for kept in (held, *tasks[number + 1 :]):
            with pytest.raises(DuplicateMessage):
                await store.put(accepted_task(idempotency_key=kept.idempotency_key))
            found = await queries.find_submission("alice", kept.idempotency_key)
            assert found is not None
            assert found.task_id == kept.task_id


async def test_a_dry_run_says_the_same_and_drops_nothing(store: Store) -> None:
    await put_into_weeks(store, finished(task_of(61), 61), task_of(61), finished(task_of(50), 50))
    told = await prune(store, dry_run=True)
    assert [(week.dropped, week.kept) for week in told] == [(1, 1), (1, 0)]
    assert await store.sql.fetchval("SELECT count(*) FROM tasks") == 3
    assert [(week.week, week.dropped, week.kept) for week in await prune(store)] == [
        (week.week, week.dropped, week.kept) for week in told
    ]


async def test_a_week_with_very_many_unfinished_tasks_stays_and_so_do_later_ones(store: Store) -> None:
    old, later = task_of(61), finished(task_of(50), 50)
    await put_into_weeks(store, old, later)
    many = await store.sql.fetchval(
        """
        WITH made AS (
            INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('task_id',
                overlay(t.task_id::text placing lpad(to_hex(n), 12, '0') from 25)))).*
            FROM tasks AS t, generate_series(1, 10000) AS n WHERE t.task_id = $1 RETURNING 1
        ) SELECT count(*) FROM made
        """,
        old.task_id,
    )
    (stays,) = await prune(store)
    assert (stays.dropped, stays.kept) == (None, many + 1)
    assert await store.sql.fetchval("SELECT count(*) FROM tasks") == many + 2


async def test_several_nodes_prune_at_once_while_tasks_come_in(database_url: str) -> None:
    async with open_store(database_url) as store, open_store(database_url, node_id="node-b") as other:
        await put_into_weeks(store, *[finished(task_of(days), days) for days in (75, 68, 61)])
        stop = asyncio.Event()

        async def submit(to: Store) -> list[str]:
            made = []
            while not stop.is_set():
                task = accepted_task()
                await to.put(task)
                await to.put(finished(task, 0))
                made.append(task.task_id)
            return made

        submitting = [asyncio.create_task(submit(each)) for each in (store, other)]
        try:
            pruned = await asyncio.gather(*[prune(store) for _ in range(3)])
        finally:
            stop.set()
            made = [await each for each in submitting]
        assert sum(week.dropped or 0 for one in pruned for week in one) == 3
        await store.check_whole([task_id for one in made for task_id in one])


async def test_a_reader_that_stays_delays_pruning_and_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump reads all tables in one long transaction."""
    monkeypatch.setattr(retention.patiently, "__kwdefaults__", {"attempts": 2, "pause_s": 0.01})
    old = finished(task_of(61), 61)
    await put_into_weeks(store, old)
    async with store.sql.transaction():
        await store.sql.fetch("SELECT 1 FROM tasks, history")
        with pytest.raises(StillLocked):
            await prune(store)
        await store.put(accepted_task())
    assert len(await prune(store)) == 1


@pytest.mark.parametrize(
    "call",
    [
        "prune_week('2020w01', now())",
        "prune_week(to_char(now(), 'IYYY\"w\"IW'), now() - interval '2 days')",
        "prune_week('x; DROP TABLE tasks', now() - interval '2 days')",
        "prune_stragglers(now())",
    ],
)
async def test_the_schema_itself_refuses_to_drop_what_is_younger_than_a_day(store: Store, call: str) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await store.sql.execute(f"SELECT {call}")


async def test_less_than_a_day_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="less than a day"):
        await prune(store, timedelta(hours=23))


async def test_a_crash_half_way_leaves_all_as_it_was(store: Store) -> None:
    await put_into_weeks(store, finished(task_of(61), 61), task_of(61))
    before = await weeks(store), await store.sql.fetch("SELECT * FROM idempotency_keys ORDER BY task_id")
    await store.sql.execute("ALTER TABLE prunings ADD CONSTRAINT broken CHECK (dropped < 0)")
    with pytest.raises(Exception, match="broken"):
        await prune(store)
    assert (await weeks(store), await store.sql.fetch("SELECT * FROM idempotency_keys ORDER BY task_id")) == before
    assert await store.sql.fetchval("SELECT count(*) FROM tasks") == 2
