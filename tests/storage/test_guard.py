"""What a database must be: new enough, and one that keeps what it has confirmed."""

from pathlib import Path

import pytest
from sqlalchemy import text

from app.storage import guard
from app.storage.database import Database
from app.storage.embedded import EmbeddedPostgres, server
from app.storage.guard import UnfitDatabase
from tests.storage.stored import Store


async def test_the_tests_own_database_is_fit(store: Store) -> None:
    await guard.check_version(store.database)
    await guard.check_durability(store.database)


async def test_an_old_postgres_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MIN_VERSION", 990_000)
    with pytest.raises(UnfitDatabase, match="Postgres 15 or newer is needed"):
        await guard.check_version(store.database)


async def test_commits_that_are_not_awaited_are_refused(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    async with database.connect() as connection:
        name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
        await connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
    await database.close()
    database = Database(database_url, pool_size=1)
    with pytest.raises(UnfitDatabase, match="synchronous_commit = off"):
        await guard.check_durability(database)
    await database.close()


async def test_a_server_that_does_not_write_through_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsync", "full_page_writes"):
        monkeypatch.setitem(server.SETTINGS, name, "off")
    async with EmbeddedPostgres(tmp_path) as unsafe:
        database = Database(unsafe.url, pool_size=1)
        with pytest.raises(UnfitDatabase, match="fsync = off"):
            await guard.check_durability(database)
        monkeypatch.setattr(guard, "DURABLE", ("full_page_writes",))
        with pytest.raises(UnfitDatabase, match="full_page_writes = off"):
            await guard.check_durability(database)
        await database.close()
