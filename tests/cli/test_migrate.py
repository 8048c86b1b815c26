"""Bringing a real database up to date."""

import pytest

from app.storage import migrations
from app.storage.database import Database
from tests.cli.conftest import Run
from tests.support.loop_thread import LoopThread
from tests.support.machine import free_port


def test_an_empty_database_gets_the_schema_and_keeps_it(
    run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    for _ in range(2):
        ended = run("migrate")
        assert (ended.code, ended.err) == (0, "")
        assert migrations.head() in ended.out
    assert revision(empty_database_url) == migrations.head()


def test_a_database_that_is_away_is_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://someone@127.0.0.1:{free_port()}/tasks")
    ended = run("migrate")
    assert ended.code == 1
    assert ended.err.startswith("The database cannot be reached")


def test_the_services_own_postgres_needs_no_migrate(run: Run) -> None:
    ended = run("migrate")
    assert ended.code == 0
    assert ended.out.startswith("Nothing to do")


def revision(url: str) -> str | None:
    async def read() -> str | None:
        database = Database(url, pool_size=1)
        try:
            return await migrations.current(database)
        finally:
            await database.close()

    loop = LoopThread()
    try:
        return loop.run(read())
    finally:
        loop.close()
