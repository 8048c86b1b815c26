"""News between nodes: heard by the others, not by the teller, and again after a lost connection."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.storage.database import Database
from app.storage.listen import CHANNEL, MAX_NAMED, News
from app.submission.identifiers import new_task_id
from tests.faults.proxy import Proxy
from tests.support.waiting import eventually

Heard = list[frozenset[str] | None]


class Node:
    """One node's news, and what it has heard."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, pool_size=1)
        self.heard: Heard = []
        self.news = News(self.database, self.heard.append)
        self.news.alone = False

    async def start(self) -> "Node":
        """Listens when this returns: it has heard that anything may have changed."""
        self.news.start()
        await eventually(lambda: has(self.heard, None), "listening")
        self.heard.clear()
        return self

    async def close(self) -> None:
        await self.news.close()
        await self.database.close()


async def has(heard: Heard, wanted: frozenset[str] | None) -> bool:
    return wanted in heard


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[tuple[Node, Node]]:
    nodes = Node(database_url), Node(database_url)
    yield await nodes[0].start(), await nodes[1].start()
    for node in nodes:
        await node.close()


async def test_the_others_hear_and_the_teller_does_not(pair: tuple[Node, Node]) -> None:
    one, two = pair
    changed = frozenset({new_task_id(), new_task_id()})
    one.news.tell(changed)
    await eventually(lambda: has(two.heard, changed), "the news")
    assert one.heard == []
    two.news.tell([new_task_id()])
    await eventually(lambda: _some(one.heard), "an answer")
    assert two.heard == [changed]


async def _some(heard: Heard) -> bool:
    return bool(heard)


async def _all(conditions: list[bool]) -> bool:
    return all(conditions)


async def test_much_at_once_is_one_notification(pair: tuple[Node, Node]) -> None:
    one, two = pair
    most = [new_task_id() for _ in range(MAX_NAMED)]
    for task_id in most:
        one.news.tell([task_id])
    await eventually(lambda: has(two.heard, frozenset(most)), "all by name")
    one.news.tell([new_task_id() for _ in range(MAX_NAMED + 1)])
    await eventually(lambda: has(two.heard, None), "anything")
    assert len(two.heard) == 2


async def test_what_is_heard_as_the_connection_is_dropped_is_heard_all_the_same(pair: tuple[Node, Node]) -> None:
    """The driver still hands out what has come; by then it knows nothing more of the connection."""
    one, _ = pair
    connection = one.news._connection
    assert connection is not None
    connection.terminate()
    changed = new_task_id()
    one.news._hear(connection, 0, CHANNEL, changed)
    assert frozenset({changed}) in one.heard


async def test_a_node_that_comes_is_told_everything_from_then_on(pair: tuple[Node, Node], database_url: str) -> None:
    one, two = pair
    one.news.alone = two.news.alone = True
    third = await Node(database_url).start()
    await eventually(lambda: _all([not one.news.alone, not two.news.alone]), "nobody is alone")
    assert one.heard == two.heard == [], "a greeting is no news"
    changed = frozenset({new_task_id()})
    one.news.tell(changed)
    await eventually(lambda: has(third.heard, changed), "the news")
    await third.close()


async def test_a_node_that_is_alone_tells_nobody(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.news.alone = True
    one.news.tell([new_task_id()])
    one.news.alone = False
    told = frozenset({new_task_id()})
    one.news.tell(told)
    await eventually(lambda: has(two.heard, told), "the second")
    assert two.heard == [told]


async def test_a_lost_connection_is_made_again(database_url: str) -> None:
    teller = await Node(database_url).start()
    async with Proxy(database_url) as proxy:
        listener = await Node(proxy.url).start()
        proxy.cut()
        await eventually(lambda: has(listener.heard, None), "whatever was missed meanwhile")
        told = frozenset({new_task_id()})
        teller.news.tell(told)
        await eventually(lambda: has(listener.heard, told), "news over the new connection")
        await listener.close()
    await teller.close()


async def test_a_start_without_a_database_is_made_up_for(database_url: str) -> None:
    async with Proxy(database_url) as proxy:
        proxy.away = True
        listener = Node(proxy.url)
        listener.news.start()
        listener.news.tell([new_task_id()])
        await asyncio.gather(*[eventually(lambda: _some([None]), "the loop runs") for _ in range(3)])
        assert listener.heard == []
        proxy.away = False
        await eventually(lambda: has(listener.heard, None), "listening")
        await listener.close()
