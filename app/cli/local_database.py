"""The service's database, for commands that work on it rather than on a service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from app.cli.failures import CommandFailed
from app.cli.startup import EXPECTED, sentence
from app.settings import Settings, SettingsError, StorageSettings
from app.storage import migrations
from app.storage.database import Database
from app.storage.embedded import DataDirectoryInUse, running_url
from app.storage.own_database import own_database

Answer = TypeVar("Answer")


def on_database(work: Callable[[str, Settings], Awaitable[Answer]]) -> Answer:
    """What `work` answers, given the database's URL and the settings.

    The database is that of DATABASE_URL, or the data directory's own: the one that a service there runs, or one started
    for the time of the command. Raises CommandFailed with one sentence.
    """
    try:
        settings = Settings()
    except SettingsError as error:
        raise CommandFailed(str(error)) from None

    async def run() -> Answer:
        async with _url(settings.storage) as url:
            await _check_schema(url)
            return await work(url, settings)

    try:
        return asyncio.run(run())
    except EXPECTED as error:
        raise CommandFailed(sentence(error)) from None


@asynccontextmanager
async def _url(storage: StorageSettings) -> AsyncIterator[str]:
    if storage.database_url is not None:
        yield storage.database_url
        return
    if not (storage.data_dir / "postgres").exists():
        raise CommandFailed(f"There is no database in {storage.data_dir} yet: set DATABASE_URL, or start the service.")
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(own_database(storage.data_dir))
        except DataDirectoryInUse:
            running = running_url(storage.data_dir)
            if running is None:
                raise
            url = running
        yield url


async def _check_schema(url: str) -> None:
    database = Database(url, pool_size=1)
    try:
        await migrations.check(database)
    finally:
        await database.close()
