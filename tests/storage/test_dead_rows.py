"""Dead rows are counted while something keeps them, claims find their way past them, and a vacuum ends it."""

from app.storage.dead_rows import count_dead_rows
from tests.storage.stored import Store, accepted_task, claim, ids, open_store

ROUNDS, TASKS = 5, 60


async def test_what_an_open_transaction_keeps_is_counted_and_in_nobodys_way(store: Store) -> None:
    async with open_store(store.url, node_id="elsewhere") as reader:
        await store.put(*[accepted_task() for _ in range(TASKS)])
        async with reader.sql.transaction(isolation="repeatable_read"):
            await reader.sql.fetchval("SELECT count(*) FROM tasks")
            for _ in range(ROUNDS):
                await store.sql.execute("UPDATE tasks SET lease_owner = NULL, version = version + 1")
                await store.sql.execute("SELECT pg_stat_force_next_flush()")
            await store.sql.execute("VACUUM tasks")
            assert await count_dead_rows(store.database) > ROUNDS * TASKS / 2
            fresh = accepted_task()
            await store.put(fresh)
            assert fresh.task_id in ids(await claim(store.leases, 2 * TASKS))
        await store.sql.execute("VACUUM tasks")
        await store.sql.execute("SELECT pg_stat_clear_snapshot()")
        assert await count_dead_rows(store.database) == 0
