"""The signing secrets of submitters, sealed: what is stored here nobody can use who has the database alone."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from app.storage.database import Database
from app.storage.delivery_tables import webhook_secrets as table

MAX_VALID = 2
"""The one that stays, and the one before it until it expires."""

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('task_executor.webhook_secrets'), hashtext(:submitter))")


class SecretRow(NamedTuple):
    """A secret as it is stored. `shown_at` is None while nobody has seen it, `expires_at` where it stays."""

    secret_id: str
    sealed: bytes
    created_at: datetime
    shown_at: datetime | None
    expires_at: datetime | None


_COLUMNS = [table.c[name] for name in SecretRow._fields]


class WebhookSecrets:
    """See the module's docstring. All of it raises StorageUnavailable; times are the database's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def valid(self, submitter: str) -> list[SecretRow]:
        """Those that sign, the newest first."""
        statement = (
            select(*_COLUMNS)
            .where(
                table.c.submitter == submitter,
                or_(table.c.expires_at.is_(None), table.c.expires_at > func.clock_timestamp()),
            )
            .order_by(table.c.created_at.desc())
            .limit(MAX_VALID)
        )
        async with self._database.connect() as connection:
            return [_row(row) for row in await connection.execute(statement)]

    async def add_first(self, submitter: str, secret_id: str, sealed: bytes) -> None:
        """Stores a secret that nobody has been shown, unless there is one that stays: another node may be faster."""
        entry = insert(table).values(_values(submitter, secret_id, sealed)).on_conflict_do_nothing()
        async with self._database.connect() as connection:
            await connection.execute(entry)

    async def show_first(self, submitter: str) -> SecretRow | None:
        """The secret that stays, if nobody has been shown it; from now on somebody has."""
        statement = (
            update(table)
            .where(table.c.submitter == submitter, table.c.expires_at.is_(None), table.c.shown_at.is_(None))
            .values(shown_at=func.clock_timestamp())
            .returning(*_COLUMNS)
        )
        async with self._database.connect() as connection:
            found = (await connection.execute(statement)).first()
        return None if found is None else _row(found)

    async def replace(self, submitter: str, secret_id: str, sealed: bytes, overlap_s: float) -> SecretRow:
        """Stores a secret that is shown now. The one before expires in `overlap_s` seconds, an older one at once."""
        own = table.c.submitter == submitter
        until = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, overlap_s)
        values = {**_values(submitter, secret_id, sealed), "shown_at": func.clock_timestamp()}
        async with self._database.connect() as connection:
            # Two at once take turns: the second replaces what the first has made.
            await connection.execute(_LOCK, {"submitter": submitter})
            await connection.execute(delete(table).where(own, table.c.expires_at.is_not(None)))
            await connection.execute(update(table).where(own).values(expires_at=until))
            made = await connection.execute(insert(table).values(values).returning(*_COLUMNS))
            return _row(made.one())

    async def remove(self, submitter: str, secret_id: str) -> bool:
        """Forgets a secret; False where the submitter has none of that id."""
        statement = delete(table).where(table.c.submitter == submitter, table.c.secret_id == secret_id)
        async with self._database.connect() as connection:
            return (await connection.execute(statement.returning(table.c.secret_id))).first() is not None


def _values(submitter: str, secret_id: str, sealed: bytes) -> dict[str, Any]:
    return {"submitter": submitter, "secret_id": secret_id, "sealed": sealed, "created_at": func.clock_timestamp()}


def _row(row: Any) -> SecretRow:
    return SecretRow(str(row.secret_id), row.sealed, row.created_at, row.shown_at, row.expires_at)
