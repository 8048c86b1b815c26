"""What is ahead of a task that this node does not have at hand."""

from collections.abc import AsyncIterator

import pytest

from app.protocol.task import Task
from app.storage import ahead
from app.storage.ahead import AheadReader
from app.storage.lines import Line, Want, line_of
from tests.storage.stored import Store, accepted_task, in_a_while

ECHO, SLEEP = ("echo", '{"cpu":10}'), ("sleep", '{"cpu":10}')


@pytest.fixture
async def reader(store: Store) -> AsyncIterator[AheadReader]:
    made = AheadReader(store.database, store.leases.marks)
    yield made
    await made.close()


def some(number: int, **members: object) -> list[Task]:
    return [accepted_task(**members) for _ in range(number)]


async def test_ahead_is_what_is_more_urgent_ones_own_before_and_a_fair_part_of_what_others_have(
    store: Store, reader: AheadReader
) -> None:
    own = some(3)
    last = accepted_task()
    later = some(2)
    dated = accepted_task(type="sleep", deadline=in_a_while())
    await store.put(
        *some(2, priority=0, type="sleep"),
        *own,
        last,
        *later,
        dated,
        *some(10, submitter="bob"),
        *some(1, submitter="carol", type="sleep"),
        *some(5, priority=2),
    )
    found = await reader.of_stored(last)
    # Its submitter has three and one with a deadline before it, so five of bob's come first, and carol's one.
    assert found == ({SLEEP: 2 + 1 + 1, ECHO: 3 + 5}, True)
    assert found.number == 12
    assert (await reader.of_stored(dated)).sorts == {SLEEP: 2 + 1, ECHO: 1}


async def test_beside_many_dead_entries_it_says_that_there_is_more_than_nothing(
    store: Store, reader: AheadReader
) -> None:
    tasks = some(3)
    await store.put(*tasks)
    store.leases.marks.judge(2 * ahead.MOST_DEAD_S, 1)
    assert await reader.of_stored(tasks[2]) == ({}, False)
    store.leases.marks.judge(ahead.MOST_DEAD_S / 2, 1)
    assert await reader.of_stored(tasks[2]) == ({ECHO: 2}, True)


async def test_beyond_the_bounds_it_says_that_there_is_more(
    store: Store, reader: AheadReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "MOST_READ", 4)
    monkeypatch.setattr(ahead, "_STORED", ahead._STORED.replace("10001", "5"))
    tasks = some(5)
    await store.put(*tasks)
    assert await reader.of_stored(tasks[3]) == ({ECHO: 3}, False)
    await store.sql.execute("DELETE FROM tasks WHERE task_id = $1", tasks[4].task_id)
    assert await reader.of_stored(tasks[3]) == ({ECHO: 3}, True)


async def test_others_are_looked_at_within_bounds(store: Store, reader: AheadReader) -> None:
    mine = accepted_task()
    await store.put(mine, *(accepted_task(submitter=f"other-{number}") for number in range(70)))
    found = await reader.of_stored(mine)
    assert not found.complete
    assert found.number >= 60


async def test_what_waits_on_another_node_is_counted_there(store: Store, reader: AheadReader) -> None:
    own = some(3)
    others = some(6, submitter="bob")
    stays = some(4, submitter="carol")
    await store.put(*own, *others, *stays)
    lines: list[Line] = [line_of(own[0]), line_of(others[0])]
    claimed = await store.leases.claim([Want(line, 10) for line in lines])
    assert len(claimed) == 9
    assert await reader.of_held(own[1], ["node-a"]) == ({ECHO: 1 + 2}, True)
    assert (await reader.of_held(own[1], ["node-b"])).number == 0


async def test_a_flood_that_a_node_holds_is_not_all_ahead_of_who_comes_after_it(
    store: Store, reader: AheadReader
) -> None:
    flood, last = some(9), accepted_task(submitter="bob")
    await store.put(*flood)
    await store.leases.claim([Want(line_of(flood[0]), 9)])
    await store.put(last)
    assert await reader.of_held(last, ["node-a", "node-b"]) == ({ECHO: 1}, True)
