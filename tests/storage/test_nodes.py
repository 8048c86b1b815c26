"""Which nodes there are: each says so, until it leaves or falls silent."""

import pytest

from app.storage.nodes import Nodes
from tests.storage.stored import Store


@pytest.fixture
def one(store: Store) -> Nodes:
    return Nodes(store.database, node_id="one", lease_s=15)


async def test_each_hears_what_the_others_have(store: Store, one: Nodes) -> None:
    two = Nodes(store.database, node_id="two", lease_s=15)
    assert await one.report({"capacity": {"cpu": 2}}) == {}
    assert await two.report({"capacity": {"cpu": 4, "custom": {"licence": 1}}}) == {"one": {"cpu": 2000}}
    assert await one.report({"capacity": {"cpu": 3}}) == {"two": {"cpu": 4000, "custom.licence": 1000}}
    assert [(node.node_id, node.resources) for node in await two.all()] == [
        ("one", {"capacity": {"cpu": 3}}),
        ("two", {"capacity": {"cpu": 4, "custom": {"licence": 1}}}),
    ]


async def test_a_report_keeps_the_time_of_the_start(store: Store, one: Nodes) -> None:
    await one.report({})
    (before,) = await one.all()
    await one.report({})
    (after,) = await one.all()
    assert before.started_at == after.started_at


async def test_a_silent_node_is_not_counted_and_one_that_left_is_gone(store: Store, one: Nodes) -> None:
    two, three = (Nodes(store.database, node_id=name, lease_s=15) for name in ("two", "three"))
    for node in (one, two, three):
        await node.report({"capacity": {}})
    await store.sql.execute("UPDATE nodes SET expires_at = clock_timestamp() - interval '1 s' WHERE node_id = 'two'")
    assert list(await one.report({})) == ["three"]
    await three.leave()
    assert [node.node_id for node in await one.all()] == ["one"]
    assert await store.sql.fetchval("SELECT count(*) FROM nodes") == 2, "silent for a moment only: it may come back"
    await store.sql.execute("UPDATE nodes SET expires_at = clock_timestamp() - interval '1 day'")
    await one.leave()
    assert await store.sql.fetchval("SELECT count(*) FROM nodes") == 0
