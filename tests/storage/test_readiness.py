"""Readiness: the database answers and takes what is to be written."""

import pytest

from app.storage.database import Database
from app.storage.errors import StorageUnavailable
from app.storage.readiness import Readiness
from tests.storage.stored import Store, accepted_task


async def test_a_database_that_takes_everything(store: Store) -> None:
    await Readiness(store.database, store.journal).check()


async def test_a_database_that_is_read_only(store: Store, database_url: str) -> None:
    name = database_url.rsplit("/", 1)[1].split("?", maxsplit=1)[0]
    await store.sql.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    standing = Database(database_url)
    try:
        with pytest.raises(StorageUnavailable, match="read-only"):
            await Readiness(standing, store.journal).check()
    finally:
        await standing.close()


async def test_after_a_failed_commit_it_tries_to_write(store: Store) -> None:
    store.journal.failing = True
    await Readiness(store.database, store.journal).check()
    assert await store.sql.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'room_to_write'") == 0
    await store.put(accepted_task())
    assert not store.journal.failing
