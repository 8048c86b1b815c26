"""What a look finds and a claim takes, against the same rules over plain data (tests/resources/backlog.py)."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.protocol.task import Task
from app.storage.lines import LINES_OF_ONE, Line, Walk, Want, line_of
from tests.resources.backlog import Backlog
from tests.storage.stored import Store, accepted_task, in_a_while, lines_of

BASE = datetime.now(UTC) + timedelta(hours=1)


class Waiting(NamedTuple):
    priority: int
    submitter: str
    type: str
    cpu: int
    deadline_s: int | None


waiting = st.builds(
    Waiting,
    st.sampled_from([-32768, 0, 1, 5, 32767]),
    st.sampled_from(["alice", "bob", "Carol", "é"]),
    st.sampled_from(["echo", "sleep"]),
    st.integers(1, 2 * LINES_OF_ONE),
    st.none() | st.integers(0, 3),
)


def task_of(one: Waiting) -> Task:
    return accepted_task(
        priority=one.priority,
        submitter=one.submitter,
        type=one.type,
        requested={"cpu": one.cpu},
        deadline=None if one.deadline_s is None else BASE + timedelta(seconds=one.deadline_s),
    )


def put(backlog: Backlog, task: Task) -> None:
    backlog.put(line_of(task), task.task_id, None if task.deadline is None else task.deadline.timestamp())


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
async def test_looks_and_claims_agree_with_the_rules_over_plain_data(store: Store, data: st.DataObject) -> None:
    await store.sql.execute("TRUNCATE tasks")
    tasks = [task_of(one) for one in data.draw(st.lists(waiting, min_size=1, max_size=40))]
    backlog = Backlog()
    await store.put(*tasks)
    for task in tasks:
        put(backlog, task)
    places = st.none() | st.sampled_from(sorted({line_of(task) for task in tasks})) | st.just(Line(1, "b", "", ""))
    while len(backlog):
        walks = [Walk(data.draw(places), data.draw(st.integers(0, 12))) for _ in range(3)]
        seen = await store.leases.look(*walks)
        assert seen == backlog.look(*walks)
        lines = [*seen.near, *seen.far, line_of(data.draw(st.sampled_from(tasks)))]
        wants = [Want(line, data.draw(st.integers(1, 4))) for line in dict.fromkeys(lines)]
        taken = await store.leases.claim(wants)
        assert {task.task_id for task in taken} == {task_id for _, task_id in backlog.claim(wants)}


async def test_many_lines_of_one_submitter_are_passed_over_and_found_from_inside(store: Store) -> None:
    many = [accepted_task(submitter="flooder", requested={"cpu": number}) for number in range(10, 40)]
    other = accepted_task(submitter="other")
    await store.put(*many, other)
    seen = await store.leases.look(Walk(None, 100), Walk(None, 0), Walk(None, 0))
    assert seen.near == [*sorted(map(line_of, many))[:LINES_OF_ONE], line_of(other)]
    behind = await store.leases.look(Walk(None, 0), Walk(None, 0), Walk(seen.near[LINES_OF_ONE - 1], 100))
    assert behind.inside == sorted(map(line_of, many))[LINES_OF_ONE:]


@pytest.mark.parametrize(("seconds", "there"), [(-1, True), (60, False)])
async def test_a_look_puts_back_what_is_due_again(store: Store, seconds: float, there: bool) -> None:
    task = accepted_task()
    await store.put(task)
    await store.sql.execute(
        "UPDATE tasks SET state = 'Waiting', run_at = $1 WHERE task_id = $2", in_a_while(seconds), task.task_id
    )
    seen = await store.leases.look(Walk(None, 10), Walk(None, 10), Walk(None, 0))
    assert seen.due == ([line_of(task)] if there else [])
    assert await lines_of(store.leases) == seen.due
