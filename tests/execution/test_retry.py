"""What follows an attempt: the whole table of decisions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.execution.backends.backend import Failed, Outcome, Stopped, Succeeded
from app.execution.retry import Complete, GiveUp, HandBack, RetryAt, after_executor_lost, decide
from app.protocol.messages import RetryPolicy
from app.protocol.reasons import Reason
from app.protocol.task import Task
from tests.storage.stored import new_task, started

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ERROR = {"kind": "RuntimeError", "message": "no"}


def running(attempt: int = 1, **members: Any) -> Task:
    """A task in its nth attempt of at most three, with a backoff of 10 s, then 20 s."""
    task = new_task(**{"retry": RetryPolicy(initial_s=10, max_s=60), "submitted_at": NOW, **members})
    task.submit(NOW, valid=True)
    task.accept(NOW)
    started(task)
    task.attempt = attempt
    return task


def cancelled(task: Task) -> Task:
    task.request_cancel(NOW, "alice")
    return task


FAILED = Failed(Reason.EXECUTION_ERROR, ERROR, permanent=False, used={})
PERMANENT = Failed(Reason.EXECUTION_ERROR, ERROR, permanent=True, used={})
LARGE = Failed(Reason.RESULT_TOO_LARGE, ERROR, permanent=False, used={})
CHILD_LOST = Failed(Reason.EXECUTOR_LOST, ERROR, permanent=False, used={})
TIMED_OUT = Stopped(Reason.TIMED_OUT, {})


@pytest.mark.parametrize(
    ("task", "outcome", "expected"),
    [
        (running(), Succeeded("{}", {}), Complete("{}")),
        (running(3), Succeeded("{}", {}), Complete("{}")),
        (cancelled(running()), Succeeded("{}", {}), Complete("{}")),
        (running(1), FAILED, RetryAt(NOW + timedelta(seconds=5), Reason.EXECUTION_ERROR, ERROR)),
        (running(2), FAILED, RetryAt(NOW + timedelta(seconds=10), Reason.EXECUTION_ERROR, ERROR)),
        (running(3), FAILED, GiveUp(Reason.EXECUTION_ERROR, ERROR)),
        (running(), PERMANENT, GiveUp(Reason.EXECUTION_ERROR, ERROR)),
        (running(), LARGE, GiveUp(Reason.RESULT_TOO_LARGE, ERROR)),
        (running(), CHILD_LOST, RetryAt(NOW + timedelta(seconds=5), Reason.EXECUTOR_LOST, ERROR)),
        (running(3), CHILD_LOST, GiveUp(Reason.EXECUTOR_LOST, ERROR)),
        (running(), Stopped(Reason.EXECUTOR_LOST, {}), HandBack()),
        (running(3), Stopped(Reason.EXECUTOR_LOST, {}), HandBack()),
    ],
)
def test_decisions(task: Task, outcome: Outcome, expected: object) -> None:
    assert decide(task, outcome, NOW, draw=0.5) == expected


@pytest.mark.parametrize(
    ("task", "outcome", "reason"),
    [
        (running(3), TIMED_OUT, Reason.TIMED_OUT),
        (running(), Stopped(Reason.DEADLINE_EXCEEDED, {}), Reason.DEADLINE_EXCEEDED),
        (running(), Stopped(Reason.CANCELLED, {}), Reason.CANCELLED),
        (cancelled(running()), FAILED, Reason.CANCELLED),
        (cancelled(running()), TIMED_OUT, Reason.CANCELLED),
        (cancelled(running()), Stopped(Reason.EXECUTOR_LOST, {}), Reason.CANCELLED),
        (cancelled(running()), PERMANENT, Reason.EXECUTION_ERROR),
    ],
)
def test_ends(task: Task, outcome: Outcome, reason: Reason) -> None:
    decision = decide(task, outcome, NOW, draw=0.5)
    assert isinstance(decision, GiveUp)
    assert decision.reason is reason
    assert decision.error["message"]


def test_a_timeout_names_its_seconds() -> None:
    decision = decide(running(timeout_s=1.5), TIMED_OUT, NOW, draw=0.5)
    assert isinstance(decision, RetryAt)
    assert decision.error == {"kind": "timed_out", "message": "the attempt took longer than its timeout of 1.5 s"}


def test_the_wait_has_a_ceiling() -> None:
    decision = decide(running(99, retry=RetryPolicy(max_attempts=100, initial_s=1, max_s=60)), FAILED, NOW, draw=0.999)
    assert isinstance(decision, RetryAt)
    assert timedelta(seconds=59) < decision.run_at - NOW < timedelta(seconds=60)


def test_a_handler_may_ask_for_a_longer_wait_and_not_for_a_shorter_one() -> None:
    for asked_s, waited_s in ((60, 60), (1, 5)):
        decision = decide(running(1), replace(FAILED, retry_after_s=asked_s), NOW, draw=0.5)
        assert isinstance(decision, RetryAt)
        assert decision.run_at - NOW == timedelta(seconds=waited_s)
    late = running(deadline=NOW + timedelta(seconds=59))
    assert decide(late, replace(FAILED, retry_after_s=60), NOW, draw=0.5) == GiveUp(Reason.EXECUTION_ERROR, ERROR)


@pytest.mark.parametrize(("deadline_s", "again"), [(5.0, False), (5.001, True)])
def test_no_attempt_at_or_after_the_deadline(deadline_s: float, again: bool) -> None:
    task = running(deadline=NOW + timedelta(seconds=deadline_s))
    assert isinstance(decide(task, FAILED, NOW, draw=0.5), RetryAt if again else GiveUp)


def test_a_lost_executor_counts_and_has_been_waited_for_already() -> None:
    again = after_executor_lost(running(2), NOW)
    assert isinstance(again, RetryAt)
    assert (again.run_at, again.reason) == (NOW, Reason.EXECUTOR_LOST)
    assert after_executor_lost(running(3), NOW) == GiveUp(Reason.EXECUTOR_LOST, again.error)
    wanted = after_executor_lost(cancelled(running()), NOW)
    assert isinstance(wanted, GiveUp)
    assert wanted.reason is Reason.CANCELLED
