"""Dead rows: former versions of tasks that Postgres has not removed.

They cost: whoever looks for what is seldom there passes all that are left of what was there before. Claims begin behind
them (see marks.py), rescues do not. A vacuum removes them within a minute or so, unless something still might look at
them: a transaction that stays open, a replication slot that nobody reads, a transaction prepared and forgotten.
"""

from sqlalchemy import text

from app.storage.database import Database

# Beyond what a vacuum waits for: see the options of the partitions in the migrations.
_COUNT = text("""
SELECT coalesce(sum(greatest(0, n_dead_tup - 50 - 0.02 * n_live_tup)), 0)::bigint FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND relname LIKE 'tasks\\_%'""")


async def count_dead_rows(database: Database) -> int:
    """About how many there are beyond what a vacuum lets stand. Raises StorageUnavailable."""
    async with database.connect() as connection:
        return int((await connection.execute(_COUNT)).scalar_one())
