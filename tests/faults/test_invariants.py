"""The checker's own test: it is silent about a sound record, and finds each fault that is planted."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest

from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.protocol.times import format_time
from tests.faults.invariants import Evidence, Message, TaskRow, violations
from tests.storage.stored import new_task

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def lived() -> tuple[Task, list[Message]]:
    """A task that failed once, was handed back once, and completed; and its history."""
    task = new_task(task_id="01890000-0000-7000-8000-000000000001", submitted_at=NOW)
    task.submit(NOW, valid=True)
    task.accept(NOW)
    for attempt in range(3):
        if attempt:
            task.request_resources(NOW)
        task.allocate(NOW, "node-a")
        task.start(NOW)
        task.report_progress(NOW, 0.5, {})
        if attempt == 0:
            task.retry_later(NOW, NOW, Reason.EXECUTION_ERROR, {"kind": "E"}, {})
        elif attempt == 1:
            task.hand_back(NOW)
    task.complete(NOW + timedelta(seconds=1), "{}", {})
    items = [
        Message(
            item.sequence, str(item.name), str(item.sender), str(item.recipient), format_time(item.recorded_at),
            str(item.status), item.message, item.previous_hash, item.hash,
        )
        for item in task.change().items
    ]  # fmt: skip
    return task, items


def sound() -> Evidence:
    """A record with nothing wrong in it."""
    task, items = lived()
    row = TaskRow(str(task.state), task.attempt, task.sequence, task.head_hash, {}, leased=False)
    return Evidence(
        accepted={task.task_id},
        rows={task.task_id: row},
        histories={task.task_id: items},
        told={task.task_id: deepcopy(items)},
        capacity={"cpu": 4000},
        samples=[{"cpu": 4000}, {"cpu": 10}, {}],
        runs={task.task_id: 3},
    )


def only(seen: Evidence) -> tuple[TaskRow, list[Message]]:
    (task_id,) = seen.rows
    return seen.rows[task_id], seen.histories[task_id]


def lose_the_task(seen: Evidence) -> None:
    seen.rows.clear()


def never_end(seen: Evidence) -> None:
    only(seen)[0].state = "Executing"


def duplicate_a_message(seen: Evidence) -> None:
    history = only(seen)[1]
    history.insert(5, deepcopy(history[4]))


def drop_a_message(seen: Evidence) -> None:
    del only(seen)[1][4]


def swap_two_messages(seen: Evidence) -> None:
    history = only(seen)[1]
    history[4], history[5] = history[5], history[4]


def swap_two_messages_told(seen: Evidence) -> None:
    (told,) = seen.told.values()
    told[4], told[5] = told[5], told[4]


def hold_a_message_back(seen: Evidence) -> None:
    (told,) = seen.told.values()
    told.pop()


def tell_another_story(seen: Evidence) -> None:
    (told,) = seen.told.values()
    told[4].name = "TaskFailed"


def write_a_stale_row(seen: Evidence) -> None:
    """A former holder has written over its successor."""
    row, history = only(seen)
    row.state, row.sequence, row.head_hash = "Executing", 5, history[4].hash


def write_behind_the_end(seen: Evidence) -> None:
    row, history = only(seen)
    history.append(deepcopy(history[4]))
    history[-1].sequence = row.sequence = len(history)


def end_twice(seen: Evidence) -> None:
    row, history = only(seen)
    history.append(deepcopy(history[-1]))
    history[-1].sequence = row.sequence = len(history)


def forget_an_attempt(seen: Evidence) -> None:
    only(seen)[0].attempt -= 1


def run_once_more_than_begun(seen: Evidence) -> None:
    (task_id,) = seen.runs
    seen.runs[task_id] = 4


def never_run(seen: Evidence) -> None:
    (task_id,) = seen.runs
    seen.runs[task_id] = 0


def jump(seen: Evidence) -> None:
    only(seen)[1][1].status = "Executing"


def keep_resources(seen: Evidence) -> None:
    only(seen)[0].allocated = {"cpu": 10}


def keep_a_lease(seen: Evidence) -> None:
    only(seen)[0].leased = True


def overbook(seen: Evidence) -> None:
    seen.samples.insert(0, {"cpu": 4001})


def hold_at_rest(seen: Evidence) -> None:
    seen.samples.append({"cpu": 1})


def alter_a_message(seen: Evidence) -> None:
    only(seen)[1][3].message += " "


def alter_a_time(seen: Evidence) -> None:
    only(seen)[1][3].recorded_at = format_time(NOW + timedelta(microseconds=1))


def cut_the_tail(seen: Evidence) -> None:
    del only(seen)[1][-1]


def replace_the_head(seen: Evidence) -> None:
    only(seen)[0].head_hash = "f" * 64


def test_a_sound_record_is_sound() -> None:
    assert violations(sound()) == []


@pytest.mark.parametrize(
    ("plant", "invariant"),
    [
        (lose_the_task, "I1"),
        (never_end, "I1"),
        (duplicate_a_message, "I3"),
        (drop_a_message, "I3"),
        (swap_two_messages, "I3"),
        (swap_two_messages_told, "I3"),
        (hold_a_message_back, "I3"),
        (tell_another_story, "I3"),
        (write_a_stale_row, "I5"),
        (write_behind_the_end, "I5"),
        (end_twice, "I5"),
        (forget_an_attempt, "I5"),
        (run_once_more_than_begun, "I5"),
        (never_run, "I5"),
        (jump, "I6"),
        (keep_resources, "I8"),
        (keep_a_lease, "I8"),
        (overbook, "I8"),
        (hold_at_rest, "I8"),
        (alter_a_message, "I9"),
        (alter_a_time, "I9"),
        (drop_a_message, "I9"),
        (swap_two_messages, "I9"),
        (cut_the_tail, "I9"),
        (replace_the_head, "I9"),
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[Evidence], None], invariant: str) -> None:
    seen = sound()
    plant(seen)
    assert any(found.startswith(invariant) for found in violations(seen)), violations(seen)
