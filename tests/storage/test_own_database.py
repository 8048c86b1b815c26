"""The data directory's own database, made by this version and by one that knew of one role only."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.storage import migrations
from app.storage.embedded import EmbeddedPostgres
from app.storage.grants import may_alter_history
from app.storage.own_database import own_database
from tests.storage.stored import accepted_task, open_store


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty one."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    yield folder
    shutil.rmtree(folder)


async def test_a_directory_of_a_former_version_gets_the_role_and_keeps_its_tasks(data_dir: Path) -> None:
    task, another = accepted_task(), accepted_task()
    async with EmbeddedPostgres(data_dir) as server:
        await migrations.upgrade(server.url)
        async with open_store(server.url) as store:
            await store.put(task)
            assert await may_alter_history(store.database)
    # Twice: what is there already is left as it is.
    for _ in range(2):
        async with own_database(data_dir) as url, open_store(url) as store:
            assert not await may_alter_history(store.database)
            await store.check_whole([task.task_id])
    async with own_database(data_dir) as url, open_store(url) as store:
        await store.put(another)
        await store.check_whole([task.task_id, another.task_id])
