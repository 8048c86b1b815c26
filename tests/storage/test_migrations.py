"""Migrations: up, down and up again; two at once; refusals; and the tables as the code knows them."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest
from alembic import command
from sqlalchemy import Connection

from app.protocol.states import State
from app.storage import guard, migrations
from app.storage.database import Database, driver_dsn
from app.storage.migrations import SchemaMismatch
from app.storage.tables import metadata
from tests.storage.stored import open_store

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
    return {each for each in found if "history_" not in each.replace("history_pkey", "").replace("prepare_history", "")}


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


async def test_up_down_and_up_again(empty_database_url: str) -> None:
    await migrations.upgrade(empty_database_url)
    first = await objects(empty_database_url)
    database = Database(empty_database_url, pool_size=1)

    def down(connection: Connection) -> None:
        command.downgrade(migrations._config(connection), "base")

    async with database.connect() as connection:
        await connection.run_sync(down)
    await database.close()
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
    (constraint,) = [each for each in await objects(database_url) if "tasks_state_known" in each]
    for state in State:
        assert f"'{state}'" in constraint
    assert constraint.count("'") == 2 * len(State), "and no other"


# -- partitions ------------------------------------------------------------------------------------------------------


async def partitions(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'history'::regclass ORDER BY 1"
    )
    return [row[0] for row in rows]


async def test_partitions_are_prepared_week_by_week(database_url: str) -> None:
    async with open_store(database_url) as store:
        before = await partitions(store.sql)
        await asyncio.gather(*(guard.prepare_history(store.database, 9) for _ in range(3)))
        after = await partitions(store.sql)
        assert len(after) == 1 + 10, "the default, this week and nine more"
        assert set(before) <= set(after)
        year, week, _ = datetime.now(UTC).isocalendar()
        assert f"history_{year}w{week:02d}" in after


async def test_a_message_of_no_prepared_week_is_kept_and_hinders_nothing(database_url: str) -> None:
    """A node whose clock was weeks ahead must not keep the service from starting when its week has come."""
    async with open_store(database_url) as store:
        await store.sql.execute(
            "INSERT INTO history SELECT gen_random_uuid(), 1, 'SubmitTask', 'submitter', 'executor', "
            "now() + interval '50 days', 'Submitted', '{}', '', ''"
        )
        await guard.prepare_history(store.database, 9)
        assert await store.sql.fetchval("SELECT count(*) FROM history") == 1
        assert len(await partitions(store.sql)) == 1 + 9, "all but the week that the default holds"
