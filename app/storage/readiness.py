"""Whether the database takes what the service has to write: what /readyz asks."""

from sqlalchemy import text

from app.storage.database import Database
from app.storage.errors import StorageUnavailable
from app.storage.journal import Journal

# Takes room on the disk and in a table, and leaves nothing behind: 300 kB in a table that ends with the transaction.
_TRY_TO_WRITE = text(
    "CREATE TEMPORARY TABLE room_to_write ON COMMIT DROP AS SELECT gen_random_uuid() FROM generate_series(1, 6000)"
)


class Readiness:
    """See the module's docstring."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal

    async def check(self) -> None:
        """The database answers and can be written. Raises StorageUnavailable.

        Nothing is written for it, unless the journal's last commit failed: then nobody may be sent here any more,
        and so no commit would ever show that it can be written again.
        """
        async with self._database.connect() as connection:
            if (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "on":
                raise StorageUnavailable("the database is read-only")
            if self._journal.failing:
                await connection.execute(_TRY_TO_WRITE)
