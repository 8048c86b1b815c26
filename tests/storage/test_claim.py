"""Leases: each task to one node, the most urgent first, and nothing of a former holder's gets through."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.storage.claim import Leases
from app.storage.errors import Conflict
from app.storage.lines import Want, line_of
from tests.storage.stored import Store, accepted_task, claim, ids, in_a_while, lines_of, open_store, started


def now() -> datetime:
    return datetime.now(UTC)


def waiting_task(seconds: float, **members: object) -> Task:
    """A task whose first attempt has failed and whose next is due in so many seconds."""
    task = started(accepted_task(**members))
    task.retry_later(now(), in_a_while(seconds), Reason.EXECUTION_ERROR, {"kind": "E"}, {})
    return task


async def lapse(store: Store, *task_ids: str) -> None:
    """The leases of these tasks have run out."""
    await store.sql.execute(
        "UPDATE tasks SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE task_id = ANY($1::uuid[])",
        task_ids,
    )


async def test_a_claim_takes_the_most_urgent_first_and_no_more_than_asked(store: Store) -> None:
    tasks = [accepted_task(priority=priority) for priority in (5, -3, 1, 1, 32767, -32768)]
    await store.put(*tasks)
    by_urgency = [tasks[5], tasks[1], tasks[2], tasks[3], tasks[0], tasks[4]]
    assert ids(await claim(store.leases, 4)) == ids(by_urgency[:4])
    assert ids(await claim(store.leases, 4)) == ids(by_urgency[4:])
    assert await claim(store.leases, 4) == []


async def test_a_claim_leases_and_fences(store: Store) -> None:
    task = accepted_task()
    await store.put(task)
    (claimed,) = await claim(store.leases, 10)
    row = await store.row(task.task_id)
    assert (row["lease_owner"], row["version"], claimed.version) == ("node-a", 2, 2)
    left = row["lease_expires_at"] - await store.sql.fetchval("SELECT clock_timestamp()")
    assert timedelta(seconds=10) < left <= timedelta(seconds=15)
    with pytest.raises(Conflict):
        await store.put(started(task, "node-z"))
    await store.put(started(claimed))
    await store.check_whole([task.task_id])


async def test_what_is_due_again_takes_its_old_place(store: Store) -> None:
    due, later, not_due = waiting_task(-1), accepted_task(), waiting_task(60)
    await store.put(later, due, not_due)
    assert ids(await claim(store.leases, 1)) == [due.task_id]
    assert ids(await claim(store.leases, 10)) == [later.task_id]
    assert not (await store.row(due.task_id))["due"]


async def test_a_line_is_of_one_priority_submitter_type_and_shape_and_comes_by_deadline(store: Store) -> None:
    licence = {"custom.licence": 1000, "cpu": 1000}
    first, second, third = accepted_task(deadline=in_a_while(60)), accepted_task(), accepted_task()
    others = [accepted_task(type="other"), accepted_task(requested=licence), accepted_task(submitter="bob")]
    await store.put(second, third, *others, first, waiting_task(60, submitter="carol"))
    line = line_of(first)
    assert await lines_of(store.leases) == sorted([line, *map(line_of, others)])
    assert ids(await store.leases.claim([Want(line, 2), Want(line_of(others[2]), 5)])) == ids(
        [first, second, others[2]]
    )
    assert set(ids(await claim(store.leases, 10))) == set(ids([third, others[1]]))


async def test_a_locked_row_is_passed_over(store: Store) -> None:
    first, second = accepted_task(), accepted_task()
    await store.put(first, second)
    async with store.sql.transaction():
        await store.sql.execute("SELECT 1 FROM tasks WHERE task_id = $1 FOR UPDATE", first.task_id)
        assert ids(await claim(store.leases, 10)) == [second.task_id]
    assert ids(await claim(store.leases, 10)) == [first.task_id]


async def test_sixteen_claimers_take_each_task_once(store: Store) -> None:
    tasks = [accepted_task(priority=number % 7) for number in range(2000)]
    await store.put(*tasks)
    claimers = [Leases(store.database, node_id=f"node-{number}", lease_s=15) for number in range(16)]

    async def take_all(leases: Leases) -> list[str]:
        taken: list[str] = []
        # A claim that meets only rows which others have locked comes back empty-handed, though not all are taken.
        while await store.unleased():
            taken += ids(await claim(leases, 23))
        return taken

    taken = await asyncio.gather(*map(take_all, claimers))
    for leases in claimers:
        await leases.close()
    assert Counter(task_id for one in taken for task_id in one) == Counter(ids(tasks))
    owners = dict(await store.sql.fetch("SELECT task_id::text, lease_owner FROM tasks"))
    assert owners == {task_id: f"node-{number}" for number, one in enumerate(taken) for task_id in one}
    assert await store.sql.fetchval("SELECT count(*) FROM tasks WHERE version <> 2") == 0


# -- leases that run out ---------------------------------------------------------------------------------------------


async def test_an_expired_lease_is_taken_over_and_its_holder_is_fenced_off(store: Store, database_url: str) -> None:
    task = started(accepted_task())
    await store.put(task)
    async with open_store(database_url, node_id="node-b") as other:
        assert await other.leases.take_expired(10) == []
        await lapse(store, task.task_id)
        (taken,) = await other.leases.take_expired(10)
        assert (taken.lease_owner, taken.state, taken.attempt) == ("node-b", "Executing", 1)
        task.complete(now(), "{}", {})
        with pytest.raises(Conflict):
            await store.put(task)
        assert (await store.leases.extend([task.task_id])).task_ids == set()
        taken.retry_later(now(), now(), Reason.EXECUTOR_LOST, {"kind": "executor_lost"}, {})
        await other.put(taken)
    await store.check_whole([task.task_id])


async def test_a_node_does_not_take_from_itself_what_it_still_holds(store: Store) -> None:
    """After an outage longer than the lease, its own heartbeat keeps what nobody else has taken."""
    held, forgotten = started(accepted_task()), started(accepted_task())
    await store.put(held, forgotten)
    await lapse(store, held.task_id, forgotten.task_id)
    assert ids(await store.leases.take_expired(10, [held.task_id])) == [forgotten.task_id]
    assert (await store.leases.extend([held.task_id])).task_ids == {held.task_id}
    held.complete(now(), "{}", {})
    await store.put(held)


async def test_two_rescuers_share_what_has_expired(store: Store) -> None:
    tasks = [started(accepted_task(), "node-gone") for _ in range(100)]
    await store.put(*tasks)
    await lapse(store, *ids(tasks))
    rescuers = [Leases(store.database, node_id=f"rescuer-{number}", lease_s=15) for number in range(4)]
    taken = await asyncio.gather(*(leases.take_expired(40) for leases in rescuers))
    for leases in rescuers:
        await leases.close()
    assert len({task.task_id for some in taken for task in some}) == sum(map(len, taken)) == 100


async def test_own_leases_of_an_earlier_life(store: Store) -> None:
    executing, other = started(accepted_task()), started(accepted_task(), "node-b")
    queued, due = accepted_task(), waiting_task(-1)
    await store.put(executing, other, queued, due)
    assert len(await claim(store.leases, 10)) == 2
    await store.leases.give_back_own()
    assert [(await store.row(task.task_id))["lease_owner"] for task in (queued, due, other)] == [None, None, "node-b"]
    assert ids(await store.leases.take_own(10)) == [executing.task_id]
    assert len(await claim(store.leases, 10)) == 2


async def test_overdue_tasks_that_have_not_started(store: Store) -> None:
    overdue, overdue_waiting = accepted_task(deadline=in_a_while(-1)), waiting_task(60, deadline=in_a_while(-1))
    running, later = started(accepted_task(deadline=in_a_while(-1))), accepted_task(deadline=in_a_while(60))
    await store.put(overdue, overdue_waiting, running, later, accepted_task())
    assert set(ids(await store.leases.take_overdue(10))) == {overdue.task_id, overdue_waiting.task_id}


# -- heartbeat, return, cancel ---------------------------------------------------------------------------------------


async def test_a_heartbeat_keeps_what_is_named_and_says_what_is_lost(store: Store) -> None:
    mine, unnamed, another = started(accepted_task()), started(accepted_task()), started(accepted_task(), "node-b")
    await store.put(mine, unnamed, another)
    await store.sql.execute("UPDATE tasks SET lease_expires_at = clock_timestamp() + interval '1 s'")
    versions = dict(await store.sql.fetch("SELECT task_id, version FROM tasks"))
    held = await store.leases.extend(ids([mine, another]))
    assert held.task_ids == {mine.task_id}
    still_short = await store.sql.fetch(
        "SELECT task_id::text FROM tasks WHERE lease_expires_at < clock_timestamp() + interval '5 s'"
    )
    assert {row[0] for row in still_short} == {unnamed.task_id, another.task_id}
    assert dict(await store.sql.fetch("SELECT task_id, version FROM tasks")) == versions


async def test_giving_back_is_for_what_has_not_started(store: Store) -> None:
    queued, running = accepted_task(), accepted_task()
    await store.put(queued, running)
    claimed = {task.task_id: task for task in await claim(store.leases, 10)}
    await store.put(started(claimed[running.task_id]))
    await store.leases.give_back(ids([queued, running]))
    assert (await store.row(running.task_id))["lease_owner"] == "node-a"
    assert ids(await claim(store.leases, 10)) == [queued.task_id]
    with pytest.raises(Conflict):
        await store.put(started(claimed[queued.task_id]))


async def test_a_cancel_is_left_for_the_holder(store: Store) -> None:
    task = started(accepted_task())
    await store.put(task)
    await store.leases.want_cancel(task.task_id, "alice")
    await store.leases.want_cancel(task.task_id, "root")
    assert (await store.leases.extend([task.task_id])).cancels == {task.task_id: "alice"}
    task.report_progress(now(), 0.5, {})
    await store.put(task)


async def test_a_cancel_of_what_nobody_holds_is_a_conflict(store: Store) -> None:
    """It must not vanish: whoever asked for it looks again, and finds the task queued or over."""
    queued, over = accepted_task(), started(accepted_task())
    over.complete(now(), "{}", {})
    await store.put(queued, over)
    for task in (queued, over):
        with pytest.raises(Conflict):
            await store.leases.want_cancel(task.task_id, "alice")


async def test_an_acknowledgement_is_left_for_the_holder_and_the_highest_counts(store: Store) -> None:
    task = started(accepted_task())
    await store.put(task)
    assert [await store.leases.want_acknowledgement(task.task_id, sequence) for sequence in (3, 5, 2)] == [3, 5, 5]
    assert (await store.leases.extend([task.task_id])).acknowledgements == {task.task_id: 5}
    # Nobody else touches what is held, and the holder's own writes are still good.
    assert await store.leases.unheard_acknowledgements(10) == []
    task.acknowledge(now(), 5)
    await store.put(task)
    assert (await store.leases.extend([task.task_id])).acknowledgements == {}
    assert (await store.row(task.task_id))["acknowledged_sequence"] == 5


async def test_an_acknowledgement_that_the_holder_did_not_hear_is_found_when_it_has_let_go(store: Store) -> None:
    task = started(accepted_task())
    await store.put(task)
    await store.leases.want_acknowledgement(task.task_id, 4)
    task.complete(now(), "{}", {})
    await store.put(task)
    ((found, sequence),) = await store.leases.unheard_acknowledgements(10)
    assert (found.task_id, sequence) == (task.task_id, 4)
    found.acknowledge(now(), sequence)
    await store.put(found)
    assert await store.leases.unheard_acknowledgements(10) == []
    await store.check_whole([task.task_id])


async def test_an_acknowledgement_of_what_nobody_holds_is_a_conflict(store: Store) -> None:
    task = accepted_task()
    await store.put(task)
    with pytest.raises(Conflict):
        await store.leases.want_acknowledgement(task.task_id, 1)
