"""Deliveries in the database: who may send what, when, against the real journal."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.protocol.callbacks import Registration, sink_of
from app.protocol.task import Task
from app.storage.deliveries import ATTEMPTS_KEPT, Attempt, Claimed, Deliveries
from app.storage.delivery_log import DeliveryLog
from app.storage.errors import Conflict
from tests.storage.stored import Store, accepted_task, open_store, started


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with open_store(database_url) as opened:
        yield opened


@pytest.fixture
async def deliveries(store: Store) -> AsyncIterator[Deliveries]:
    made = Deliveries(store.database)
    yield made
    await made.close()


def called(origin: str = "https://a.example", **members: Any) -> Task:
    """A new task with a callback."""
    acknowledge = members.pop("acknowledge", "response")
    registration = Registration(
        f"{origin}/hook", sink_of(origin, "alice"), members.pop("events", None), acknowledge, None
    )
    return accepted_task(callback=True, registration=registration, **members)


def attempt(claimed: Claimed, sequence: int, *, accepted: bool = True, last: bool = False, **members: Any) -> Attempt:
    standard: dict[str, Any] = {
        "task_id": claimed.task_id,
        "claim": claimed.claim,
        "sequence": sequence,
        "outcome": "2xx" if accepted else "5xx",
        "duration_ms": 7,
        "state": "active",
        "delay_s": 3600.0,
        "attempted_at": datetime.now(UTC),
        "is_accepted": accepted,
        "is_last": last,
    }
    return Attempt(**{**standard, **members})


async def claim_one(deliveries: Deliveries, task: Task) -> Claimed:
    (claimed,) = await deliveries.claim([task.task_id])
    return claimed


async def test_the_journal_says_what_is_to_be_sent_and_the_sender_goes_through_it(
    store: Store, deliveries: Deliveries
) -> None:
    task = called()
    await store.put(task)
    claimed = await claim_one(deliveries, task)
    assert (claimed.behind, claimed.wanted, claimed.failures) == (0, 2, 0)
    item = await deliveries.next_message(claimed)
    assert item is not None
    assert (item.sequence, item.name) == (2, "TaskAccepted")
    started(task)
    task.complete(datetime.now(UTC), "null", {})
    await store.put(task)
    finished = await deliveries.finish(attempt(claimed, 2))
    assert finished.is_due, "what was recorded meanwhile is not forgotten"
    claimed = await claim_one(deliveries, task)
    assert (claimed.behind, claimed.wanted) == (2, 8)
    assert [item.sequence for item in [await deliveries.next_message(claimed)] if item] == [5]


async def test_nothing_is_due_of_a_task_without_news_or_without_a_callback(
    store: Store, deliveries: Deliveries
) -> None:
    plain, task = accepted_task(), called()
    await store.put(plain, task)
    assert [each.task_id for each in await deliveries.claim([plain.task_id, task.task_id])] == [task.task_id]
    assert await deliveries.claim([task.task_id]) == [], "it is claimed"
    assert await store.sql.fetchval("SELECT count(*) FROM deliveries") == 1


async def test_many_claim_at_once_and_each_delivery_is_one_s(store: Store, deliveries: Deliveries) -> None:
    tasks = [called() for _ in range(20)]
    await store.put(*tasks)
    others = [Deliveries(store.database) for _ in range(4)]
    ids = [task.task_id for task in tasks]
    won = await asyncio.gather(*(each.claim(ids) for each in (deliveries, *others)))
    assert sorted(claimed.task_id for each in won for claimed in each) == sorted(ids)
    for each in others:
        await each.close()


async def test_a_claim_that_ran_out_is_another_s_and_its_outcome_counts_no_more(
    store: Store, deliveries: Deliveries
) -> None:
    task = called()
    await store.put(task)
    first = await claim_one(deliveries, task)
    await store.sql.execute("UPDATE deliveries SET claimed_until = clock_timestamp() - interval '1 s'")
    second = await claim_one(deliveries, task)
    assert second.claim == first.claim + 1
    with pytest.raises(Conflict):
        await deliveries.finish(attempt(first, 2))
    await deliveries.finish(attempt(second, 2))
    with pytest.raises(Conflict):
        await deliveries.finish(attempt(second, 2))
    assert await store.sql.fetchval("SELECT attempts FROM deliveries") == 1


async def test_a_failure_waits_and_news_do_not_shorten_the_wait(store: Store, deliveries: Deliveries) -> None:
    task = called()
    await store.put(task)
    finished = await deliveries.finish(attempt(await claim_one(deliveries, task), 2, accepted=False))
    assert not finished.is_due
    await store.put(started(task))
    assert await deliveries.claim([task.task_id]) == []
    row = await store.sql.fetchrow("SELECT * FROM deliveries")
    assert (row["failures"], row["delivered_sequence"], row["wanted_sequence"], row["last_outcome"]) == (1, 0, 5, "5xx")
    assert row["next_attempt_at"] > datetime.now(UTC)


async def test_what_ended_stays_ended_whatever_is_recorded(store: Store, deliveries: Deliveries) -> None:
    task = called()
    await store.put(task)
    gone = attempt(await claim_one(deliveries, task), 2, accepted=False, state="gone")
    assert (await deliveries.finish(gone)).state == "gone"
    await store.put(started(task))
    assert await deliveries.claim([task.task_id]) == []
    log = DeliveryLog(store.database)
    assert [each.task_id for each in await log.failing("gone", None, 10)] == [task.task_id]
    assert await log.redeliver(task.task_id, 1) is not None
    assert (await claim_one(deliveries, task)).behind == 0
    assert await log.failing(None, None, 10) == []


async def test_a_new_start_waits_for_the_attempt_under_way_whose_outcome_counts_no_more(
    store: Store, deliveries: Deliveries
) -> None:
    task = called()
    await store.put(task)
    under_way = await claim_one(deliveries, task)
    assert await DeliveryLog(store.database).redeliver(task.task_id, 1) is not None
    assert await deliveries.claim([task.task_id]) == []
    with pytest.raises(Conflict):
        await deliveries.finish(attempt(under_way, 2))
    left = await store.sql.fetchval("SELECT claimed_until - clock_timestamp() FROM deliveries")
    assert 0 < left.total_seconds() <= 15


async def test_what_is_acknowledged_by_request_waits_for_it_and_then_goes_on(
    store: Store, deliveries: Deliveries
) -> None:
    task = called(acknowledge="request")
    await store.put(task)
    finished = await deliveries.finish(attempt(await claim_one(deliveries, task), 2))
    assert not finished.is_due
    started(task)
    await store.put(task)
    assert await deliveries.claim([task.task_id]) == [], "accepted, and yet not acknowledged"
    task.acknowledge(datetime.now(UTC), 2)
    await store.put(task)
    claimed = await claim_one(deliveries, task)
    assert claimed.behind == 2
    task.acknowledge(datetime.now(UTC), 5)
    await store.put(task)
    # The word came during the attempt, whatever became of that.
    await deliveries.finish(attempt(claimed, 5, accepted=False))
    row = await store.sql.fetchrow("SELECT * FROM deliveries")
    assert (row["delivered_sequence"], row["next_attempt_at"]) == (5, None)


async def test_what_was_acknowledged_before_it_was_sent_is_not_sent(store: Store, deliveries: Deliveries) -> None:
    task = called()
    await store.put(started(task))
    task.acknowledge(datetime.now(UTC), 2)
    await store.put(task)
    claimed = await claim_one(deliveries, task)
    assert claimed.behind == 2
    item = await deliveries.next_message(claimed)
    assert item is not None
    assert item.sequence == 5


async def test_a_delivery_rests_until_there_is_news_and_news_during_the_look_are_seen(
    store: Store, deliveries: Deliveries
) -> None:
    task = called(events=("TaskCompleted",))
    await store.put(task)
    claimed = await claim_one(deliveries, task)
    assert await deliveries.next_message(claimed) is None
    await store.put(started(task))
    await deliveries.rest(claimed, over=False)
    claimed = await claim_one(deliveries, task)
    await deliveries.rest(claimed, over=False)
    assert await deliveries.claim([task.task_id]) == []
    assert await deliveries.pending() == (0, 0)
    task.complete(datetime.now(UTC), "null", {})
    await store.put(task)
    claimed = await claim_one(deliveries, task)
    await deliveries.finish(attempt(claimed, 8, last=True))
    claimed = await claim_one(deliveries, task)
    await deliveries.rest(claimed, over=True)
    assert await store.sql.fetchval("SELECT state FROM deliveries") == "delivered"


async def test_an_end_during_the_look_is_sent_before_the_delivery_is_over(store: Store, deliveries: Deliveries) -> None:
    task = started(called(events=("TaskCompleted",)))
    await store.put(task)
    claimed = await claim_one(deliveries, task)
    assert await deliveries.next_message(claimed) is None
    task.complete(datetime.now(UTC), "null", {})
    await store.put(task)
    await deliveries.rest(claimed, over=True)
    claimed = await claim_one(deliveries, task)
    item = await deliveries.next_message(claimed)
    assert item is not None
    assert item.name == "TaskCompleted"


async def test_a_long_line_does_not_hide_the_others(store: Store, deliveries: Deliveries) -> None:
    long = [called() for _ in range(30)]
    short = [called("https://b.example"), called("https://c.example")]
    await store.put(*long, *short)
    found, after = await deliveries.due("", 10, 3)
    assert after == ""
    by_sink = [str(candidate.sink) for candidate in found]
    assert sorted(set(by_sink)) == [sink_of(f"https://{name}.example", "alice") for name in "abc"]
    assert len(by_sink) == 3 + 1 + 1
    first, after = await deliveries.due("", 2, 3)
    rest, end = await deliveries.due(after, 2, 3)
    assert (len(first), len(rest), end) == (4, 1, "")


async def test_the_log_of_a_task_is_bounded(store: Store, deliveries: Deliveries) -> None:
    task = called()
    await store.put(task)
    for _ in range(ATTEMPTS_KEPT + 5):
        await deliveries.finish(attempt(await claim_one(deliveries, task), 2, accepted=False, delay_s=0.0))
    log = DeliveryLog(store.database)
    kept = await log.attempts(task.task_id, None, 1000)
    assert [each.attempt for each in kept] == list(range(ATTEMPTS_KEPT + 5, 5, -1))
    assert [each.attempt for each in await log.attempts(task.task_id, 8, 1000)] == [7, 6]


async def test_what_nobody_could_be_sent_for_too_long_is_given_up(store: Store, deliveries: Deliveries) -> None:
    old, young = called(), called()
    await store.put(old, young)
    await store.sql.execute(
        "UPDATE deliveries SET waiting_since = clock_timestamp() - interval '1 hour' WHERE task_id = $1", old.task_id
    )
    pending, oldest_s = await deliveries.pending()
    assert (pending, oldest_s > 3599) == (2, True)
    assert await deliveries.give_up(600) == [old.task_id]
    assert await deliveries.give_up(600) == []
    assert [each.task_id for each in await deliveries.claim([old.task_id, young.task_id])] == [young.task_id]


async def test_what_is_given_back_is_free_at_once(store: Store, deliveries: Deliveries) -> None:
    task = called()
    await store.put(task)
    await deliveries.give_back([await claim_one(deliveries, task)])
    await claim_one(deliveries, task)


async def test_a_refused_change_makes_nothing_due(store: Store, deliveries: Deliveries) -> None:
    task = called()
    await store.put(task)
    await deliveries.rest(await claim_one(deliveries, task), over=False)
    stale = started(called(task_id=task.task_id))
    stale._guard = 7
    with pytest.raises(Conflict):
        await store.journal.commit(stale.change())
    assert await store.sql.fetchval("SELECT wanted_sequence FROM deliveries") == 2


async def test_deliveries_of_dropped_tasks_go_with_them(store: Store, deliveries: Deliveries) -> None:
    dropped, straggler, young = called(), called(), called()
    await store.put(dropped, straggler, young)
    await deliveries.finish(attempt(await claim_one(deliveries, dropped), 2, accepted=False))
    assert await deliveries.forget() == 0
    await store.sql.execute("DELETE FROM tasks WHERE task_id = $1", dropped.task_id)
    assert await deliveries.forget() == 0, "nothing that old has been dropped yet"
    await store.sql.execute("UPDATE retention SET oldest_kept = $1", young.task_id)
    assert await deliveries.forget() == 1
    left = await store.sql.fetch("SELECT task_id FROM deliveries ORDER BY task_id")
    assert [str(row["task_id"]) for row in left] == [straggler.task_id, young.task_id]
    assert await store.sql.fetchval("SELECT count(*) FROM delivery_attempts") == 0
