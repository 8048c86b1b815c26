"""The schema's revision: bringing it up to date, and refusing to serve one that does not fit.

The migrations themselves are Alembic's, in migrations/ beside app/.
"""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

from app.storage.database import Database

logger = logging.getLogger("app.storage")

DIRECTORY = Path(__file__).parents[2] / "migrations"
MIGRATION_TIMEOUT_S = 3600.0

# Two that migrate at once (replicas that start together) take turns; the second finds nothing to do.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('task_executor.migrate'))")


class SchemaMismatch(Exception):
    """The database's schema is not this version's; the message is one sentence that says what to do."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The revision that this version of the service works with."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


async def current(database: Database) -> str | None:
    """The revision of the database, or None where there is no schema yet. Raises StorageUnavailable."""
    async with database.connect() as connection:
        return await connection.run_sync(_current)


async def upgrade(url: str) -> None:
    """Brings the schema up to this version's revision; does nothing where it is there already.

    Raises SchemaMismatch for a schema newer than this version, StorageUnavailable.
    """
    database = Database(url, pool_size=1, statement_timeout_s=MIGRATION_TIMEOUT_S)
    try:
        async with database.connect() as connection:
            await connection.execute(_LOCK)
            await connection.run_sync(_upgrade)
    finally:
        await database.close()


async def check(database: Database) -> None:
    """Raises SchemaMismatch unless the schema is exactly this version's."""
    found, wanted = await current(database), head()
    if found is None:
        raise SchemaMismatch("the database has no schema yet: run `task-executor migrate` first")
    if found != wanted:
        _refuse_newer(found)
        raise SchemaMismatch(
            f"the database's schema is at revision {found}, this version needs {wanted}: run `task-executor migrate`"
        )


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection) -> None:
    found = _current(connection)
    if found is not None:
        _refuse_newer(found)
    if found != head():
        command.upgrade(_config(connection), "head")
        logger.info("the schema went from revision %s to %s", found or "none", head())


def _refuse_newer(found: str) -> None:
    try:
        ScriptDirectory.from_config(_config()).get_revision(found)
    except CommandError:
        raise SchemaMismatch(
            f"the database's schema is at revision {found}, which this version does not know: "
            f"it was migrated by a newer version of the service; run that one"
        ) from None
