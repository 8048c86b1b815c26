"""What the role that the service connects as may do, where another role owns the tables.

It may not change or remove a message, nor remove a task, nor touch the record of what was pruned and erased; what of
that has to be done is done by functions with the rights of the owner, which do only that.
"""

from sqlalchemy import text

from app.storage.database import Database
from app.storage.schema import metadata

LIMITED = {
    "alembic_version": "SELECT",
    "erasures": "SELECT",
    "history": "SELECT, INSERT",
    "idempotency_keys": "SELECT, INSERT",
    "idempotency_keys_before": "SELECT, INSERT",
    "prunings": "SELECT",
    "retention": "SELECT",
    "tasks": "SELECT, INSERT, UPDATE",
}
"""Tables of which the service needs less than everything. The two of keys change names, so it may insert into both."""

EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"

_LOOK_FOR = text("SELECT name, to_regrole(name) IS NOT NULL FROM quote_ident(CAST(:role AS text)) AS name")


class NoSuchRole(Exception):
    """The role to grant to is not there; the message is one sentence with the fix."""


async def grant_to(url: str, role: str, *, make: bool = False) -> None:
    """Gives the role what the service needs, and takes what it had beyond. Run by the owner of the tables.

    Makes the role where it is not there and `make` says so. Raises NoSuchRole, StorageUnavailable.
    """
    database = Database(url, pool_size=1)
    try:
        async with database.connect() as connection:
            name, known = (await connection.execute(_LOOK_FOR, {"role": role})).one()
            if not known and not make:
                raise NoSuchRole(f"there is no role {role!r}: make it with CREATE ROLE … LOGIN first")
            if not known:
                await connection.execute(text(f"CREATE ROLE {name} LOGIN"))
            for table in sorted({*metadata.tables, *LIMITED}):
                await connection.execute(text(f"REVOKE ALL ON {table} FROM {name}"))
                await connection.execute(text(f"GRANT {LIMITED.get(table, EVERYTHING)} ON {table} TO {name}"))
            await connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {name}"))
    finally:
        await database.close()


async def may_alter_history(database: Database) -> bool:
    """Whether the role that is connected could change what is recorded. Raises StorageUnavailable."""
    statement = "SELECT has_table_privilege('history', 'UPDATE') OR has_table_privilege('history', 'DELETE')"
    async with database.connect() as connection:
        return bool((await connection.execute(text(statement))).scalar_one())
