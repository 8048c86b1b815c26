"""How Postgres carries out the hot statements: by indexes, in their order, whatever lies in the tables."""

import json
from typing import Any

import asyncpg

from app.storage import claim
from app.storage.database import HOT_PLAN, driver_dsn
from tests.storage.stored import Store, accepted_task

BACKLOG = 1_500


async def plan_of_a_claim(database_url: str) -> dict[str, Any]:
    connection = await asyncpg.connect(driver_dsn(database_url), server_settings=HOT_PLAN)
    try:
        await connection.execute("ANALYZE tasks")
        await connection.execute(f"PREPARE claim (text, float8, bigint, text[], text[]) AS {claim._CLAIM}")
        plan = await connection.fetchval("EXPLAIN (FORMAT JSON) EXECUTE claim ('node', 15, 200, '{echo}', '{}')")
    finally:
        await connection.close()
    found: dict[str, Any] = json.loads(plan)[0]["Plan"]
    return found


def nodes_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes_of(child))]


async def test_a_claim_takes_the_head_of_the_queue_off_its_index(store: Store, database_url: str) -> None:
    await store.put(*[accepted_task() for _ in range(BACKLOG)])
    nodes = nodes_of(await plan_of_a_claim(database_url))
    assert "tasks_queued" in {node["Index Name"] for node in nodes if node["Node Type"] == "Index Scan"}
    # Each of these would read the whole backlog for 200 of it.
    assert not {"Sort", "Seq Scan", "Bitmap Heap Scan"} & {node["Node Type"] for node in nodes}
