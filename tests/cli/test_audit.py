import asyncio

import pytest

from tests.cli.conftest import Run
from tests.storage.stored import accepted_task, open_store


@pytest.mark.parametrize("words", [[], ["--all", "01890000-0000-7000-8000-000000000000"], ["x"]])
def test_what_makes_no_sense(run: Run, words: list[str]) -> None:
    assert run("audit", "verify", *words).code == 2


def test_says_what_is_whole_and_what_is_not(run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url.replace("+asyncpg", ""))
    task = accepted_task()

    async def put(change: str | None = None) -> None:
        async with open_store(database_url) as store:
            await (store.put(task) if change is None else store.sql.execute(change))

    asyncio.run(put())
    whole = run("audit", "verify", "--all")
    assert (whole.code, whole.out) == (0, "1 tasks, 3 messages (0 erased): every history is whole\n")
    asyncio.run(put("UPDATE history SET message = '{}' WHERE sequence = 2"))
    broken = run("audit", "verify", task.task_id)
    assert broken.code == 1
    assert f"{task.task_id} 2: altered\n" in broken.out
    absent = run("audit", "verify", "01890000-0000-7000-8000-000000000000")
    assert (absent.code, "There is no task" in absent.err) == (1, True)
