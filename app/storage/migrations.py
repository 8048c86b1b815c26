"""The schema's revision: bringing it up to date, and refusing to serve one that does not fit.

The migrations themselves are Alembic's, in migrations/ beside app/. Which there are is read off the names of their
files, and where the database stands off Alembic's own table: Alembic itself, a fifth of a second to load, is called
only when there is something to migrate.
"""

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from app.storage.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

logger = logging.getLogger("app.storage")

DIRECTORY = Path(__file__).parents[2] / "migrations"
MIGRATION_TIMEOUT_S = 3600.0

_HAS_REVISION = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_REVISION = text("SELECT version_num FROM alembic_version")
# Two that migrate at once (replicas that start together) take turns; the second finds nothing to do.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('task_executor.migrate'))")

# At once and in the order in which the service's statements lock them: whoever makes an index and then drops another
# locks more step by step, and a claim, which does so too, and a migration would wait for each other.
_LOCK_TABLES = text("LOCK TABLE tasks, history IN ACCESS EXCLUSIVE MODE")


class SchemaMismatch(Exception):
    """The database's schema is not this version's; the message is one sentence that says what to do."""


@cache
def revisions() -> tuple[str, ...]:
    """Those that this version of the service knows, the oldest first: 0007_weeks.py is revision 0007."""
    return tuple(sorted(path.name.partition("_")[0] for path in (DIRECTORY / "versions").glob("*.py")))


def head() -> str:
    """The revision that this version of the service works with."""
    return revisions()[-1]


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
    if not connection.execute(_HAS_REVISION).scalar_one():
        return None
    return connection.execute(_REVISION).scalar_one_or_none()


def _upgrade(connection: Connection) -> None:
    found = _current(connection)
    if found is not None:
        _refuse_newer(found)
    if found != head():
        if found is not None:
            connection.execute(_LOCK_TABLES)
        _migrate(connection)
        logger.info("the schema went from revision %s to %s", found or "none", head())


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - see the module's docstring

    command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - see the module's docstring

    config = Config()
    config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _refuse_newer(found: str) -> None:
    if found not in revisions():
        raise SchemaMismatch(
            f"the database's schema is at revision {found}, which this version does not know: "
            f"it was migrated by a newer version of the service; run that one"
        )
