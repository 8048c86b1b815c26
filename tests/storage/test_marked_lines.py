"""Looks and claims that begin at marks find what those find that begin at the heads; sweeps find the rest."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.protocol.task import Task
from app.storage.lines import Line, Walk, Want, line_of, place_of, text_of
from app.storage.marked_lines import RECENT, Sweep
from app.storage.marks import MARKED
from tests.resources.backlog import Backlog
from tests.storage.stored import Store, accepted_task, ids, in_a_while, open_store, started
from tests.storage.test_lines import put, task_of, waiting

NO_WALK = Walk(None, 0)
ALL = Walk(None, 100)


@pytest.fixture
async def sweep(store: Store) -> Sweep:
    """Marks are in force from the first sweep on, however little there is to pass."""
    marks = store.leases.marks
    marks.judge = lambda *_: None  # type: ignore[method-assign]
    marks.in_force = True
    sweep = Sweep(store.leases.sweeps, marks, tuple)
    await sweep.sweep()
    return sweep


async def claim(store: Store, task: Task, wanted: int) -> list[str]:
    return ids(await store.leases.claim([Want(line_of(task), wanted)]))


def long_ago(count: int, **members: object) -> list[Task]:
    """Tasks without a deadline that were all committed long since, in order."""
    return [accepted_task(task_id=f"0198c1dd-0000-7000-8000-{number:012}", **members) for number in range(count)]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
async def test_looks_and_claims_agree_with_the_rules_over_plain_data(
    store: Store, sweep: Sweep, data: st.DataObject
) -> None:
    """Whatever was swept and claimed before, and comes behind that."""
    await store.sql.execute("TRUNCATE tasks")
    marks = store.leases.marks
    marks._marks.clear()
    backlog = Backlog()
    for _ in range(data.draw(st.integers(1, 3))):
        tasks = [task_of(one) for one in data.draw(st.lists(waiting, min_size=1, max_size=30))]
        await store.put(*tasks)
        for task in tasks:
            put(backlog, task)
            marks.written(task)
        places = st.none() | st.sampled_from(sorted({line_of(task) for task in tasks})) | st.just(Line(1, "b", "", ""))
        for _ in range(data.draw(st.integers(0, 4))):
            if data.draw(st.booleans()):
                await sweep.sweep()
            walks = [Walk(data.draw(places), data.draw(st.integers(0, 12))) for _ in range(3)]
            seen = await store.leases.look(*walks)
            strays, seen.due[:] = set(seen.due), []
            expected = backlog.look(*walks)
            if not strays:
                assert seen == expected
            # By the rules: what is drawn must not depend on how quick the machine is.
            lines = [*expected.near, *expected.far, line_of(data.draw(st.sampled_from(tasks)))]
            wants = [Want(line, data.draw(st.integers(1, 4))) for line in dict.fromkeys(lines)]
            taken = await store.leases.claim(wants)
            assert {task.task_id for task in taken} == {task_id for _, task_id in backlog.claim(wants)}


def test_a_lines_key_is_the_databases() -> None:
    assert text_of(Line(-32768, "a", "b", "{}")) == "00000\x1fa\x1fb\x1f{}"
    assert text_of(Line(1, "a", "b", "{}")) < text_of(Line(2, "a", "b", "{}")) < text_of(Line(2, "a b", "b", "{}"))


async def test_what_comes_back_is_claimed_first(store: Store, sweep: Sweep) -> None:
    tasks = long_ago(9)
    await store.put(*tasks)
    first = await claim(store, tasks[0], 5)
    await store.leases.give_back(first[1:3])
    assert await claim(store, tasks[0], 3) == [*first[1:3], tasks[5].task_id]


async def test_what_another_gives_back_is_found_by_a_sweep(store: Store, sweep: Sweep) -> None:
    tasks = long_ago(9)
    await store.put(*tasks)
    async with open_store(store.url, node_id="node-b") as other:
        taken = await claim(other, tasks[0], 2)
        assert await claim(store, tasks[0], 2) == ids(tasks[2:4])
        await other.leases.give_back(taken)
    assert await claim(store, tasks[0], 1) == ids(tasks[4:5])
    assert await sweep.sweep()
    assert (await store.leases.look(NO_WALK, NO_WALK, NO_WALK)).due == [line_of(tasks[0])]
    assert await claim(store, tasks[0], 3) == [*taken, tasks[5].task_id]
    assert not await sweep.sweep()


async def test_a_stray_that_another_has_taken_costs_nothing(store: Store, sweep: Sweep) -> None:
    tasks = long_ago(9)
    await store.put(*tasks)
    first = await claim(store, tasks[0], 3)
    await store.leases.give_back(first)
    async with open_store(store.url, node_id="node-b") as other:
        assert await claim(other, tasks[0], 2) == first[:2]
    assert await claim(store, tasks[0], 3) == [first[2], *ids(tasks[3:5])]


async def test_an_earlier_deadline_comes_first_whoever_stored_it(store: Store, sweep: Sweep) -> None:
    tasks = long_ago(6)
    here, there = (accepted_task(deadline=in_a_while(seconds)) for seconds in (60, 30))
    await store.put(*tasks)
    await claim(store, tasks[0], 2)
    await store.put(here, there)
    store.leases.marks.written(here)
    assert await claim(store, tasks[0], 2) == [tasks[2].task_id, here.task_id]
    await sweep.sweep()
    assert await claim(store, tasks[0], 2) == [tasks[3].task_id, there.task_id]


async def test_many_that_come_back_are_all_claimed(store: Store, sweep: Sweep) -> None:
    tasks = long_ago(500)
    await store.put(*tasks)
    first = await claim(store, tasks[0], 490)
    async with open_store(store.url) as same_node:
        await same_node.leases.give_back(first)
    await sweep.sweep()
    assert await claim(store, tasks[0], 600) == ids(tasks)


@pytest.mark.parametrize("when", ["before the sweep", "after it"])
async def test_what_is_due_again_is_put_back(store: Store, sweep: Sweep, when: str) -> None:
    tasks = long_ago(3)
    await store.put(*tasks)
    first = await claim(store, tasks[0], 2)
    await store.sql.execute(
        "UPDATE tasks SET state = 'Waiting', run_at = clock_timestamp() - $1::interval, lease_owner = NULL, "
        "lease_expires_at = NULL WHERE task_id = $2",
        timedelta(seconds=60 if when == "before the sweep" else 0),
        first[0],
    )
    if when == "before the sweep":
        assert (await store.leases.look(ALL, ALL, NO_WALK)).due == []
        await sweep.sweep()
    assert (await store.leases.look(ALL, ALL, NO_WALK)).due[0] == line_of(tasks[0])
    assert await claim(store, tasks[0], 2) == [first[0], tasks[2].task_id]


async def test_lines_of_tasks_stored_lately_are_marked_whoever_claims_them(store: Store, sweep: Sweep) -> None:
    tasks = long_ago(3)
    await store.put(*tasks, started(accepted_task(submitter="bob")))
    await sweep.sweep()
    marks = dict(store.leases.marks.places())
    assert marks.pop(line_of(tasks[0])) == place_of(None, tasks[0].task_id), "the first that waits"
    assert [line.submitter for line in marks] == ["bob"], "nothing waits: any time lately"


async def test_lines_that_a_look_finds_are_marked_by_the_next_sweep(store: Store, sweep: Sweep) -> None:
    (old,) = long_ago(1, submitter="bob")
    await store.put(old, *[accepted_task() for _ in range(RECENT)])
    await sweep.sweep()
    assert {line.submitter for line, _ in store.leases.marks.places()} == {"alice"}, "of the last tasks"
    await store.leases.look(ALL, ALL, NO_WALK)
    await sweep.sweep()
    assert {line.submitter for line, _ in store.leases.marks.places()} == {"alice", "bob"}


async def test_as_many_marks_as_there_can_be(store: Store, sweep: Sweep) -> None:
    """All lines of one submitter who has very many, each of them over but for the last."""
    tasks = [accepted_task(requested={"cpu": number}) for number in range(1, MARKED + 50)]
    *over, last = sorted(tasks, key=line_of)
    await store.put(*tasks)
    for first in range(0, len(over), 200):
        await store.leases.claim([Want(line_of(task), 1) for task in over[first : first + 200]])
    seen = await store.leases.look(ALL, ALL, NO_WALK)
    assert seen.near == [line_of(last)]
