"""Pruning from the command line, on the database itself."""

import asyncio

import pytest

from app.settings import Settings
from app.storage.embedded import EmbeddedPostgres
from app.storage.migrations import upgrade
from app.storage.own_database import own_database
from tests.cli.conftest import Run
from tests.storage.stored import open_store
from tests.storage.test_retention import finished, put_into_weeks, task_of, week_of


def test_without_a_database(run: Run) -> None:
    ended = run("prune")
    assert ended.code == 1
    assert "There is no database in" in ended.err


@pytest.mark.parametrize("words", [["--older-than", "0"], ["--older-than", "soon"]])
def test_what_makes_no_sense(run: Run, words: list[str]) -> None:
    assert run("prune", *words).code == 2


async def put_an_old_one(url: str) -> str:
    async with open_store(url) as store:
        task = finished(task_of(61), 61)
        await put_into_weeks(store, task)
        return week_of(task)


def test_says_what_it_would_drop_and_what_it_dropped(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url.replace("+asyncpg", ""))
    week = asyncio.run(put_an_old_one(database_url))
    assert f"{week}: " not in run("prune", "--older-than", "90").out
    would = run("prune", "--dry-run")
    assert "nothing is dropped" in would.out
    assert f"{week}: 1 tasks and their histories" in would.out
    assert f"{week}: 1 tasks and their histories" in run("prune").out
    assert f"{week}: " not in run("prune").out


def test_on_the_data_directory_whether_its_server_runs_or_not(run: Run) -> None:
    data_dir = Settings().storage.data_dir

    async def by_its_owner() -> str:
        async with EmbeddedPostgres(data_dir) as server:
            await upgrade(server.url)
            assert "is in use by process" in (await asyncio.to_thread(run, "prune")).err, "not for the service yet"
            return await put_an_old_one(server.url)

    async def beside_a_service() -> str:
        async with own_database(data_dir):
            return (await asyncio.to_thread(run, "prune", "--dry-run")).out

    week = asyncio.run(by_its_owner())
    assert f"{week}: 1 tasks" in asyncio.run(beside_a_service())
    assert f"{week}: 1 tasks" in run("prune").out
