"""The migrations build exactly the tables that the code knows."""

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from app.storage.database import Database
from app.storage.schema import metadata
from app.storage.tables import is_partition


def differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True, "include_object": _is_modelled}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _is_modelled(_object: object, name: str | None, kind: str, _reflected: object, _other: object) -> bool:
    """Partitions come and go with time; the model has their parents."""
    return not (kind == "table" and is_partition(name))


async def test_migrations_and_tables_are_equal(database_url: str) -> None:
    database = Database(database_url)
    try:
        async with database.connect() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await database.close()


async def test_a_difference_would_be_seen(database_url: str) -> None:
    database = Database(database_url)
    try:
        async with database.connect() as connection:
            await connection.execute(text("ALTER TABLE tasks ADD COLUMN planted integer"))
            await connection.execute(text("CREATE TABLE planted (n integer)"))
            found = await connection.run_sync(differences)
            assert {difference[0] for difference in found} == {"remove_column", "remove_table"}
    finally:
        await database.close()
