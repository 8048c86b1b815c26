"""The life of a task: each step, each path, and what the submitter is told."""

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.protocol.history import Item, MessageName, first_break
from app.protocol.messages import RetryPolicy
from app.protocol.reasons import Reason
from app.protocol.states import TRANSITIONS, IllegalTransition, State
from app.protocol.task import Task
from tests.storage.stored import new_task

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ERROR = {"kind": "E", "message": "no"}
ODD = 'a"\\b\n\t\x7f é 中 \U0001f600 </script> \u2028'

DETAILS = {
    "task_id", "type", "priority", "deadline", "submitter", "submitted_at", "labels", "retry_of", "max_attempts",
    "encrypted", "attempt", "started_at", "finished_at", "sequence", "resources", "progress_details", "waiting",
    "warning", "reason", "error", "result", "acknowledged",
}  # fmt: skip


def accepted(**members: Any) -> Task:
    task = new_task(submitted_at=NOW, **members)
    task.submit(NOW, valid=True)
    task.accept(NOW)
    return task


def test_a_warning_is_told_and_gone_when_the_task_is_over() -> None:
    task = new_task(submitted_at=NOW)
    task.submit(NOW, valid=True)
    task.accept(NOW, {"kind": "deadline_infeasible"})
    assert told(task)["body"]["details"]["warning"] == {"kind": "deadline_infeasible"}
    task.put_at_risk(NOW, {"kind": "deadline_at_risk"})
    update = task.change().items[-1]
    assert (update.name, update.status) == (MessageName.PROGRESS_UPDATE, State.RESOURCE_ALLOCATION)
    assert json.loads(update.message)["body"]["details"]["warning"] == {"kind": "deadline_at_risk"}
    task.fail(NOW, Reason.DEADLINE_EXCEEDED, ERROR)
    assert told(task)["body"]["details"]["warning"] is None


def running(**members: Any) -> Task:
    task = accepted(**members)
    task.allocate(NOW, "node-a")
    task.start(NOW)
    return task


def check(task: Task, items: list[Item]) -> None:
    """A history is whole, legal, and agrees with its task."""
    assert first_break(task.task_id, items) is None
    assert (items[-1].sequence, items[-1].hash, items[-1].status) == (task.sequence, task.head_hash, task.state)
    for before, after in itertools.pairwise(items):
        assert after.status == before.status or after.status in TRANSITIONS[before.status]
    for item in items:
        assert json.loads(item.message)


def told(task: Task) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(task.status_json())
    return message


def test_a_rejected_message() -> None:
    task = new_task(submitted_at=NOW)
    task.submit(NOW, valid=False)
    task.reject(NOW, {**ERROR, "errors": [{"pointer": "/x", "detail": "y"}]})
    items = list(task.change().items)
    check(task, items)
    assert [(item.name, item.status) for item in items] == [("SubmitTask", "Validating"), ("TaskRejected", "Rejected")]
    assert (task.reason, task.finished_at, task.lease_owner) == (Reason.VALIDATION_FAILED, NOW, None)


def test_a_task_that_succeeds_at_once() -> None:
    task = running(requested={"cpu": 500})
    assert task.allocated == {"cpu": 500}
    task.complete(NOW + timedelta(seconds=2), '{"x":1}', {"cpu_s": 1.5, "peak_memory_mb": 7.0})
    items = list(task.change().items)
    check(task, items)
    assert [(item.name, item.status, item.sender, item.recipient) for item in items] == [
        ("SubmitTask", "Submitted", "submitter", "executor"),
        ("TaskAccepted", "Validating", "executor", "submitter"),
        ("RequestResources", "ResourceAllocation", "executor", "resource_manager"),
        ("ResourcesAllocated", "ResourceAllocation", "resource_manager", "executor"),
        ("ExecutionStarted", "Executing", "executor", "submitter"),
        ("ReleaseResources", "Completing", "executor", "resource_manager"),
        ("ResourcesReleased", "Completing", "resource_manager", "executor"),
        ("TaskCompleted", "Completed", "executor", "submitter"),
    ]
    assert task.allocated == {}
    body = told(task)["body"]
    assert (body["status"], body["progress"], body["details"]["result"]) == ("Completed", 1.0, {"x": 1})
    assert body["details"]["resources"] == {
        "requested": {"cpu": 0.5}, "allocated": {}, "used": {"cpu_s": 1.5, "peak_memory_mb": 7.0},
    }  # fmt: skip


def test_attempts_add_up_what_they_used() -> None:
    task = running()
    task.retry_later(NOW, NOW, Reason.EXECUTION_ERROR, ERROR, {"cpu_s": 1.0, "peak_memory_mb": 9.0})
    assert (task.state, task.run_at, task.lease_owner, task.reason) == (State.WAITING, NOW, None, None)
    assert told(task)["body"]["details"]["error"] == ERROR
    task.request_resources(NOW)
    task.allocate(NOW, "node-b")
    task.start(NOW)
    assert (task.attempt, task.run_at, task.error_json, task.started_at) == (2, None, None, NOW)
    task.complete(NOW, "null", {"cpu_s": 2.0, "peak_memory_mb": 4.0})
    assert task.used == {"cpu_s": 3.0, "peak_memory_mb": 9.0}
    check(task, list(task.change().items))


def test_what_is_handed_back_does_not_count() -> None:
    task = running()
    task.hand_back(NOW)
    assert (task.state, task.attempt, task.run_at, task.allocated) == (State.WAITING, 0, NOW, {})
    task.request_resources(NOW)
    task.allocate(NOW, "node-b")
    task.start(NOW)
    assert task.attempt == 1
    check(task, list(task.change().items))


def test_a_request_that_is_not_granted() -> None:
    task = accepted()
    due = NOW + timedelta(seconds=5)
    task.resources_unavailable(NOW, {"reason": "insufficient", "missing": {"cpu": 1}}, due)
    assert (task.state, task.allocation_attempts, task.run_at) == (State.WAITING, 1, due)
    assert told(task)["body"]["details"]["waiting"] == {
        "reason": "insufficient", "missing": {"cpu": 1}, "next_attempt_at": "2026-05-01T12:00:05.000000Z",
    }  # fmt: skip
    task.fail(NOW, Reason.RESOURCE_UNAVAILABLE, ERROR)
    assert (task.state, task.run_at, task.waiting_json) == (State.FAILED, None, None)
    check(task, list(task.change().items))


@pytest.mark.parametrize("started", [True, False])
def test_a_cancel_is_recorded_once(started: bool) -> None:
    task = running() if started else accepted()
    for _ in range(3):
        task.request_cancel(NOW, "alice")
    task.fail(NOW, Reason.CANCELLED, ERROR)
    items = list(task.change().items)
    assert [str(item.name) for item in items].count("CancelTask") == 1
    assert json.loads(items[-2 if not started else -4].message)["body"]["requested_by"] == "alice"
    check(task, items)


def test_a_step_that_is_not_legal_is_refused_and_leaves_no_trace() -> None:
    steps: list[Callable[[Task], object]] = [
        lambda task: task.start(NOW),
        lambda task: task.complete(NOW, "{}", {}),
        lambda task: task.fail(NOW, Reason.CANCELLED, ERROR),
        lambda task: task.request_resources(NOW),
        lambda task: task.hand_back(NOW),
    ]
    for step in steps:
        task = running()
        task.complete(NOW, "{}", {})
        task.change()
        before = (task.sequence, task.head_hash, task.state, task.version)
        with pytest.raises(IllegalTransition):
            step(task)
        assert (task.sequence, task.head_hash, task.state, task.version) == before


def test_changes_carry_what_is_new_and_the_version_they_stand_on() -> None:
    task = accepted()
    first = task.change()
    assert (first.guard, task.version, len(first.items)) == (None, 1, 3)
    task.allocate(NOW, "node-a")
    task.start(NOW)
    second = task.change()
    assert (second.guard, task.version, [item.sequence for item in second.items]) == (1, 2, [4, 5])
    assert task.loaded().change().guard == 2


def test_the_status_has_exactly_the_documented_members() -> None:
    task = running(
        message_id=ODD, submitter=ODD, type=ODD, labels={"a": ODD}, deadline=NOW, requested={"cpu": 1, "custom.x": 2500}
    )
    task.report_progress(NOW, 0.42, {ODD: ODD, "nan": float("nan")})
    message = told(task)
    assert set(message) == {"type", "header", "body"}
    assert message["type"] == "task_status"
    assert set(message["header"]) == {"message_id", "reference_id", "timestamp"}
    assert set(message["body"]) == {"status", "progress", "details"}
    details = message["body"]["details"]
    assert set(details) == DETAILS
    assert set(details["resources"]) == {"requested", "allocated", "used"}
    assert (message["header"]["reference_id"], details["submitter"], details["type"]) == (ODD, ODD, ODD)
    assert details["labels"] == {"a": ODD}
    assert details["progress_details"] == {ODD: ODD, "nan": None}
    assert details["resources"]["requested"] == {"cpu": 0.001, "custom": {"x": 2.5}}
    assert (message["body"]["progress"], details["sequence"]) == (0.42, 6)
    assert details["deadline"] == details["submitted_at"] == "2026-05-01T12:00:00.000000Z"


def test_a_message_tells_its_own_sequence() -> None:
    task = running()
    for item in task.change().items:
        message = json.loads(item.message)
        if message["type"] == "task_status":
            assert message["body"]["details"]["sequence"] == item.sequence
            assert message["body"]["status"] == item.status
        if message["type"] != "submit_task":
            assert message["header"]["message_id"] == f"{task.task_id}.{item.sequence}"


def test_a_fresher_account_of_why_it_waits() -> None:
    task = accepted()
    assert json.loads(task.status_json('{"reason":"insufficient"}'))["body"]["details"]["waiting"] == {
        "reason": "insufficient"
    }


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=100, deadline=None)
@given(
    name=texts.filter(bool),
    labels=st.dictionaries(texts, texts, max_size=3),
    details=st.dictionaries(texts, st.one_of(texts, st.integers(), st.floats(), st.none()), max_size=3),
)
def test_whatever_the_names_the_messages_are_json(name: str, labels: dict[str, str], details: dict[str, Any]) -> None:
    task = running(message_id=name, submitter=name, labels=labels)
    task.report_progress(NOW, 0.5, details)
    task.request_cancel(NOW, name)
    task.fail(NOW, Reason.CANCELLED, {"kind": name, "message": name})
    check(task, list(task.change().items))
    message = told(task)
    assert message["header"]["reference_id"] == name
    assert message["body"]["details"]["labels"] == labels


def begin(task: Task) -> None:
    task.allocate(NOW, "node-a")
    task.start(NOW)


STEPS: dict[str, Callable[[Task], object]] = {
    "request": lambda task: task.request_resources(NOW),
    "unavailable": lambda task: task.resources_unavailable(NOW, {"reason": "insufficient"}, NOW),
    "begin": begin,
    "progress": lambda task: task.report_progress(NOW, 0.5, {}),
    "retry": lambda task: task.retry_later(NOW, NOW, Reason.EXECUTION_ERROR, ERROR, {}),
    "hand back": lambda task: task.hand_back(NOW),
    "cancel": lambda task: task.request_cancel(NOW, "alice"),
    "complete": lambda task: task.complete(NOW, "{}", {}),
    "fail": lambda task: task.fail(NOW, Reason.EXECUTION_ERROR, ERROR),
}
ALLOWED = {
    State.RESOURCE_ALLOCATION: ["begin", "unavailable", "cancel", "fail"],
    State.WAITING: ["request", "cancel", "fail"],
    State.EXECUTING: ["progress", "retry", "hand back", "cancel", "complete", "fail"],
}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 100), max_size=40))
def test_every_path_is_legal_and_leaves_nothing_allocated(choices: list[int]) -> None:
    task = accepted(retry=RetryPolicy(max_attempts=100))
    items = list(task.change().items)
    for choice in choices:
        if task.state.terminal:
            break
        steps = ALLOWED[task.state]
        STEPS[steps[choice % len(steps)]](task)
        items += task.change().items
        assert bool(task.allocated) == (task.state is State.EXECUTING)
        assert (task.run_at is not None) == (task.state is State.WAITING)
        assert (task.finished_at is not None) == task.state.terminal
        assert (task.reason is not None) == (task.state is State.FAILED)
    check(task, items)
