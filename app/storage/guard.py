"""What a database must be before this service keeps its promises on it."""

from sqlalchemy import text

from app.storage.database import Database

MIN_VERSION = 150_000
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


class UnfitDatabase(Exception):
    """The service must not start on this database; the message is one sentence with the fix."""


async def check_version(database: Database) -> None:
    """Raises UnfitDatabase for a Postgres older than 15, StorageUnavailable."""
    async with database.connect() as connection:
        number = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
    if number < MIN_VERSION:
        raise UnfitDatabase(f"the database is Postgres {number // 10_000}: Postgres 15 or newer is needed")


async def check_durability(database: Database) -> None:
    """Raises UnfitDatabase where a commit could be lost in a crash, StorageUnavailable."""
    async with database.connect() as connection:
        for name in DURABLE:
            value = (await connection.execute(text(f"SHOW {name}"))).scalar_one()
            if value == "off":
                raise UnfitDatabase(
                    f"the database has {name} = off, so a crash would lose tasks that were accepted: turn it on, "
                    f"or set TASK_EXECUTOR_UNSAFE_DATABASE=true to serve all the same"
                )
