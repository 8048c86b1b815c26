"""The data directory's own database: its owner brings the schema up to date at the start, and is then shut out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.storage import migrations
from app.storage.embedded import SERVICE_ROLE, EmbeddedPostgres
from app.storage.grants import grant_to


@asynccontextmanager
async def own_database(data_dir: Path) -> AsyncIterator[str]:
    """Its URL, for the role that can do the service's work and cannot change what is recorded (see grants.py).

    Raises DataDirectoryInUse, EmbeddedPostgresError, SchemaMismatch, StorageUnavailable.
    """
    async with EmbeddedPostgres(data_dir) as server:
        await migrations.upgrade(server.url)
        await grant_to(server.url, SERVICE_ROLE, make=True)
        yield server.close_to_owner()
