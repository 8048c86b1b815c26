"""Migrations: up, down and up again; two at once; refusals; and the tables as the code knows them."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from app.protocol.ids import uuid7
from app.protocol.states import State
from app.storage import migrations, retention
from app.storage.database import Database, driver_dsn
from app.storage.migrations import SchemaMismatch
from app.storage.schema import metadata
from app.storage.tables import is_partition
from tests.storage.stored import Store, accepted_task, open_store

OBJECTS = """
SELECT 'table ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
UNION SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


async def objects(url: str) -> set[str]:
    """Everything that the schema holds, as Postgres spells it."""
    connection = await asyncpg.connect(driver_dsn(url))
    try:
        return {row[0] for row in await connection.fetch(OBJECTS)}
    finally:
        await connection.close()


def without_partitions(found: set[str]) -> set[str]:
    return {each for each in found if not any(map(is_partition, re.findall(r"\w+", each)))}


async def run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(driver_dsn(url))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def check(url: str) -> None:
    database = Database(url, pool_size=1)
    try:
        await migrations.check(database)
    finally:
        await database.close()


async def move(url: str, direction: Callable[[Config, str], None], revision: str) -> None:
    """Up or down to a revision."""
    database = Database(url, pool_size=1)
    async with database.connect() as connection:
        await connection.run_sync(lambda sync: direction(migrations._config(sync), revision))
    await database.close()


async def test_up_down_and_up_again(empty_database_url: str) -> None:
    await migrations.upgrade(empty_database_url)
    first = await objects(empty_database_url)
    await move(empty_database_url, command.downgrade, "base")
    assert {each for each in await objects(empty_database_url) if "alembic_version" not in each} == set()
    await migrations.upgrade(empty_database_url)
    assert await objects(empty_database_url) == first
    await check(empty_database_url)


async def test_twice_changes_nothing(empty_database_url: str) -> None:
    await migrations.upgrade(empty_database_url)
    first = await objects(empty_database_url)
    await migrations.upgrade(empty_database_url)
    assert await objects(empty_database_url) == first


async def test_two_at_once_take_turns(empty_database_url: str) -> None:
    await asyncio.gather(*(migrations.upgrade(empty_database_url) for _ in range(3)))
    await check(empty_database_url)


async def test_an_unfinished_migration_leaves_nothing(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction: a service that is killed half-way finds a database to start from."""

    def broken(connection: Connection) -> None:
        migrations._upgrade_found(connection)  # type: ignore[attr-defined]  # put there below
        raise RuntimeError("killed half-way")

    monkeypatch.setattr(migrations, "_upgrade_found", migrations._upgrade, raising=False)
    monkeypatch.setattr(migrations, "_upgrade", broken)
    with pytest.raises(RuntimeError):
        await migrations.upgrade(empty_database_url)
    assert await objects(empty_database_url) == set()


def test_the_names_of_the_files_tell_what_alembic_reads_in_them() -> None:
    scripts = ScriptDirectory(str(migrations.DIRECTORY))
    assert list(migrations.revisions()) == [script.revision for script in scripts.walk_revisions()][::-1]
    assert migrations.head() == scripts.get_current_head()


async def test_no_schema_is_refused(empty_database_url: str) -> None:
    with pytest.raises(SchemaMismatch, match="run `task-executor migrate` first"):
        await check(empty_database_url)


async def test_a_newer_schema_is_refused(database_url: str) -> None:
    await run(database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="newer version of the service"):
        await check(database_url)
    with pytest.raises(SchemaMismatch, match="newer version of the service"):
        await migrations.upgrade(database_url)


async def test_an_older_schema_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    current = migrations.head()
    monkeypatch.setattr(migrations, "head", lambda: "9999")
    with pytest.raises(SchemaMismatch, match=rf"at revision {current}, this version needs 9999: run `task-executor"):
        await check(database_url)


async def test_indexes_and_constraints_equal_those_of_the_tables(database_url: str, empty_database_url: str) -> None:
    """Alembic's own comparison looks at neither CHECK constraints nor the conditions of partial indexes."""
    database = Database(empty_database_url, pool_size=1)
    async with database.connect() as connection:
        await connection.run_sync(metadata.create_all)
    await database.close()
    migrated = without_partitions(await objects(database_url))
    made = without_partitions(await objects(empty_database_url))
    assert {each for each in migrated if "alembic_version" not in each and not each.startswith("function")} == made


async def test_the_states_of_the_database_are_the_protocols(database_url: str) -> None:
    (constraint,) = [each for each in without_partitions(await objects(database_url)) if "tasks_state_known" in each]
    for state in State:
        assert f"'{state}'" in constraint
    assert constraint.count("'") == 2 * len(State), "and no other"


# -- partitions ------------------------------------------------------------------------------------------------------


async def partitions(connection: asyncpg.Connection, parent: str) -> set[str]:
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass", parent
    )
    return {row[0].removeprefix(f"{parent}_") for row in rows}


async def test_partitions_are_prepared_week_by_week(database_url: str) -> None:
    async with open_store(database_url) as store:
        before = await partitions(store.sql, "tasks")
        await asyncio.gather(*(retention.prepare_weeks(store.database, 9) for _ in range(3)))
        after = await partitions(store.sql, "tasks")
        assert len(after) == 1 + 10, "the default, this week and nine more"
        assert before <= after
        assert await partitions(store.sql, "history") == after
        year, week, _ = datetime.now(UTC).isocalendar()
        assert f"{year}w{week:02d}" in after


async def test_a_task_and_its_history_are_in_the_week_of_its_id(store: Store) -> None:
    task = accepted_task()
    await store.put(task)
    year, week, _ = task.submitted_at.isocalendar()
    where = "SELECT DISTINCT tableoid::regclass::text FROM {} WHERE task_id = $1"
    assert await store.sql.fetchval(where.format("tasks"), task.task_id) == f"tasks_{year}w{week:02d}"
    assert await store.sql.fetchval(where.format("history"), task.task_id) == f"history_{year}w{week:02d}"


async def test_the_ids_of_a_moment_begin_with_the_least_of_it(store: Store) -> None:
    moment = datetime(2026, 11, 26, 4, 5, 6, 789_000, tzinfo=UTC)
    least = await store.sql.fetchval("SELECT task_id_at($1)", moment)
    milliseconds = int(moment.timestamp() * 1000)
    assert uuid7(milliseconds - 1, 2**74 - 1) < least < uuid7(milliseconds, 0)


async def test_a_task_of_no_prepared_week_is_kept_and_moves_into_its_week_when_that_is_made(store: Store) -> None:
    """A node whose clock was weeks ahead must neither keep the service from starting nor fill the default."""
    ahead = datetime.now(UTC) + timedelta(weeks=6)
    task = accepted_task(task_id=str(uuid7(int(ahead.timestamp() * 1000), 1)))
    await store.put(task)
    where = "SELECT tableoid::regclass::text FROM tasks WHERE task_id = $1"
    assert await store.sql.fetchval(where, task.task_id) == "tasks_default"
    await retention.prepare_weeks(store.database, 9)
    year, week, _ = ahead.isocalendar()
    assert await store.sql.fetchval(where, task.task_id) == f"tasks_{year}w{week:02d}"
    await store.check_whole([task.task_id])


FORMER_TASK = """
INSERT INTO tasks (task_id, message_id, idempotency_key, content_digest, submitter, type, priority, submission, labels,
    requested, shape, timeout_s, retry, submitted_at, state, version, attempt, allocation_attempts, allocated, used,
    updated_at, acknowledged_sequence, sequence, head_hash)
VALUES ($1::uuid, $1::text, $1::text, '', 'alice', 'echo', 1, '{}', '{}', '{}', '{}', 60, '{}', $2,
    'ResourceAllocation', 1, 0, 0, '{}', '{}', $2, 0, 1, '')"""
FORMER_MESSAGE = """
INSERT INTO history VALUES ($1, 1, 'SubmitTask', 'submitter', 'executor', $2, 'Submitted', '{}', '', '')"""


async def test_what_was_stored_before_there_were_weeks_is_kept(empty_database_url: str) -> None:
    """From the first revision with tasks of two weeks, back again, and up."""
    await move(empty_database_url, command.upgrade, "0006")
    connection = await asyncpg.connect(driver_dsn(empty_database_url))
    try:
        for days in (20, 0):
            moment = datetime.now(UTC) - timedelta(days=days)
            task_id = str(uuid7(int(moment.timestamp() * 1000), 1))
            await connection.execute(FORMER_TASK, task_id, moment)
            await connection.execute(FORMER_MESSAGE, task_id, moment)
        reads = [f"SELECT * FROM {table} ORDER BY task_id" for table in ("tasks", "history")]
        stored = [await connection.fetch(read) for read in reads]
        for direction, revision in (
            (command.upgrade, "0007"), (command.downgrade, "0006"), (command.upgrade, "0007"),
        ):  # fmt: skip
            await move(empty_database_url, direction, revision)
            await connection.reload_schema_state()
            assert [await connection.fetch(read) for read in reads] == stored
        assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 2
        assert await connection.fetchval("SELECT count(*) FROM tasks_default") == 0
    finally:
        await connection.close()
