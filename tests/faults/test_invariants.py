"""The checker's own test: it is silent about a sound record, and finds each fault that is planted."""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest

from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.protocol.times import format_time
from tests.faults.evidence import Acknowledgements, Evidence, Footprint, Message, Received, TaskRow
from tests.faults.invariants import violations
from tests.storage.stored import new_task

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def lived() -> tuple[Task, list[Message]]:
    """A task that failed once, was handed back once, and completed, warned of once and acknowledged three times."""
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
            task.put_at_risk(NOW, {"kind": "deadline_at_risk"})
    task.acknowledge(NOW, 5)
    task.complete(NOW + timedelta(seconds=1), "{}", {})
    task.acknowledge(NOW + timedelta(seconds=2), 12)
    task.acknowledge(NOW + timedelta(seconds=2), task.sequence)
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
    row = TaskRow(
        str(task.state), task.attempt, task.sequence, task.head_hash, {}, leased=False,
        acknowledged=task.acknowledged, key=("alice", task.idempotency_key),
    )  # fmt: skip
    end = next(item.sequence for item in items if item.name == "TaskCompleted")
    everything = [(item.sequence, item.hash) for item in items if item.sequence <= end]
    for_submitter = [(item.sequence, item.hash) for item in items if item.recipient == "submitter"]
    return Evidence(
        accepted={task.task_id},
        named={task.message_id: {task.task_id}},
        rows={task.task_id: row},
        histories={task.task_id: items},
        told={task.task_id: deepcopy(items)},
        received=[
            Received("stream", task.task_id, everything, to_the_end=True),
            Received("cut", task.task_id, everything[:7]),
            Received("sink", task.task_id, [*for_submitter[:3], *for_submitter], for_submitter=True, to_the_end=True),
        ],
        acknowledgements={task.task_id: Acknowledgements({5, 12, task.acknowledged, 3}, {5, task.acknowledged})},
        capacity={"cpu": 4000},
        samples=[{"cpu": 4000}, {"cpu": 10}, {}],
        runs={task.task_id: 3},
        pickups=[1.0] * 19 + [9.0],
        pickup_limit_s=5.0,
        answers=Counter({(202, True): 3, (503, True): 2, (404, False): 1}),
        logs={"node": '{"level":"info","event":"all is well"}'},
        canaries={"s3cret"},
        footprints={"node": (Footprint(100.0, 40, 2, 12), Footprint(110.0, 42, 2, 12))},
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
    history.append(next(deepcopy(item) for item in history if item.name == "TaskCompleted"))
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


def make_two_of_one(seen: Evidence) -> None:
    (names,) = seen.named.values()
    names.add("another")


def store_two_of_one(seen: Evidence) -> None:
    row, _ = only(seen)
    seen.rows["another"] = deepcopy(row)


def take_other_content(seen: Evidence) -> None:
    seen.taken_twice.add("message-1")


def skip_in_a_stream(seen: Evidence) -> None:
    del seen.received[0].messages[3]


def repeat_in_a_stream(seen: Evidence) -> None:
    messages = seen.received[0].messages
    messages.insert(4, messages[3])


def swap_in_a_stream(seen: Evidence) -> None:
    messages = seen.received[1].messages
    messages[2], messages[3] = messages[3], messages[2]


def alter_in_a_stream(seen: Evidence) -> None:
    messages = seen.received[1].messages
    messages[2] = (messages[2][0], "f" * 64)


def end_a_stream_early(seen: Evidence) -> None:
    seen.received[0].messages.pop()


def never_tell_a_sink(seen: Evidence) -> None:
    sink = seen.received[2]
    last = sink.messages[-1]
    sink.messages = [message for message in sink.messages if message != last]


def swap_at_a_sink(seen: Evidence) -> None:
    messages = seen.received[2].messages
    messages[-1], messages[-2] = messages[-2], messages[-1]


def acknowledge_unasked(seen: Evidence) -> None:
    (told,) = seen.acknowledgements.values()
    told.sent.discard(12)


def forget_an_acknowledgement(seen: Evidence) -> None:
    (told,) = seen.acknowledgements.values()
    row, history = only(seen)
    while history[-1].name == "Acknowledge":
        history.pop()
    row.acknowledged, row.sequence, row.head_hash = 5, history[-1].sequence, history[-1].hash
    told.sent = told.answered = {5, 12}


def count_more_than_was_recorded(seen: Evidence) -> None:
    only(seen)[0].acknowledged += 1


def acknowledge_backwards(seen: Evidence) -> None:
    history = only(seen)[1]
    history[-1].message = history[-1].message.replace('{"sequence":', '{"sequence":1,"was":')


def leave_an_unknown_outcome_undone(seen: Evidence) -> None:
    row, _ = only(seen)
    seen.rows["another"] = deepcopy(row)
    seen.rows["another"].state = "Waiting"


def pick_up_late(seen: Evidence) -> None:
    seen.pickups += [5.1]


def answer_500(seen: Evidence) -> None:
    seen.answers[500, True] += 1


def answer_503_without_advice(seen: Evidence) -> None:
    seen.answers[503, False] += 1


def log_a_traceback(seen: Evidence) -> None:
    seen.logs["node"] += "\nTraceback (most recent call last):"


def log_an_error(seen: Evidence) -> None:
    seen.logs["node"] += '\n{"level":"error","event":"something"}'


def log_a_secret(seen: Evidence) -> None:
    seen.logs["node"] += "\nthe token was s3cret"


@pytest.mark.parametrize("member", ["memory_mb", "files", "children", "connections"])
def test_growth_is_found(member: str) -> None:
    seen = sound()
    setattr(seen.footprints["node"][1], member, 200)
    assert [found.split(":")[0] for found in violations(seen)] == ["I11"]


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
        (make_two_of_one, "I2"),
        (store_two_of_one, "I2"),
        (take_other_content, "I2"),
        (skip_in_a_stream, "I3"),
        (repeat_in_a_stream, "I3"),
        (swap_in_a_stream, "I3"),
        (alter_in_a_stream, "I3"),
        (end_a_stream_early, "I3"),
        (never_tell_a_sink, "I3"),
        (swap_at_a_sink, "I3"),
        (acknowledge_unasked, "I4"),
        (forget_an_acknowledgement, "I4"),
        (count_more_than_was_recorded, "I4"),
        (acknowledge_backwards, "I4"),
        (leave_an_unknown_outcome_undone, "I7"),
        (pick_up_late, "I7"),
        (answer_500, "I10"),
        (answer_503_without_advice, "I10"),
        (log_a_traceback, "I10"),
        (log_an_error, "I10"),
        (log_a_secret, "I10"),
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[Evidence], None], invariant: str) -> None:
    seen = sound()
    plant(seen)
    assert any(found.startswith(invariant) for found in violations(seen)), violations(seen)
