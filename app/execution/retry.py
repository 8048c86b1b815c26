"""What follows an attempt: a pure decision over its outcome (protocol, "Error Handling")."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from app.execution.backends.backend import Failed, Outcome, Stopped, Succeeded
from app.protocol.backoff import backoff_s
from app.protocol.reasons import RETRIED, Reason
from app.protocol.task import Task

_STOPPED_BECAUSE = {
    Reason.TIMED_OUT: "the attempt took longer than its timeout of {timeout_s:g} s",
    Reason.DEADLINE_EXCEEDED: "the deadline passed before the task was over",
    Reason.CANCELLED: "the task was cancelled",
    Reason.EXECUTOR_LOST: "the executor was lost while the attempt ran: whatever it still answers is discarded",
}


@dataclass(frozen=True, slots=True)
class Complete:
    """The task has its result."""

    result_json: str


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Another attempt is due."""

    run_at: datetime
    reason: Reason
    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The task has failed."""

    reason: Reason
    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HandBack:
    """The executor stops, not the task: the attempt does not count."""


Decision = Complete | RetryAt | GiveUp | HandBack


def decide(task: Task, outcome: Outcome, now: datetime, draw: float) -> Decision:
    """What becomes of a task whose attempt ended. `draw` is a random number in [0, 1) for the jitter."""
    match outcome:
        case Succeeded(result_json=result_json):
            return Complete(result_json)
        case Failed(permanent=True, reason=reason, error=error):
            return GiveUp(reason, error)
        case _ if task.cancel_requested_at is not None:
            # Whatever else ended this attempt, there is to be no other.
            return GiveUp(Reason.CANCELLED, stop_error(task, Reason.CANCELLED))
        case Stopped(reason=Reason.EXECUTOR_LOST):
            return HandBack()
        case Stopped(reason=reason):
            return _after_failure(task, reason, stop_error(task, reason), now, draw)
        case Failed(reason=reason, error=error):
            return _after_failure(task, reason, error, now, draw, outcome.retry_after_s)
        case _:
            assert_never(outcome)


def after_executor_lost(task: Task, now: datetime) -> RetryAt | GiveUp:
    """What becomes of a task whose executor is gone: the attempt counts, but has waited out a lease already."""
    if task.cancel_requested_at is not None:
        return GiveUp(Reason.CANCELLED, stop_error(task, Reason.CANCELLED))
    error = stop_error(task, Reason.EXECUTOR_LOST)
    if task.attempt >= task.retry.max_attempts:
        return GiveUp(Reason.EXECUTOR_LOST, error)
    return RetryAt(now, Reason.EXECUTOR_LOST, error)


def stop_error(task: Task, reason: Reason) -> dict[str, Any]:
    """`details.error` of a task that was ended from outside."""
    return {"kind": str(reason), "message": _STOPPED_BECAUSE[reason].format(timeout_s=task.timeout_s)}


def _after_failure(
    task: Task, reason: Reason, error: dict[str, Any], now: datetime, draw: float, least_s: float = 0.0
) -> RetryAt | GiveUp:
    if reason not in RETRIED or task.attempt >= task.retry.max_attempts:
        return GiveUp(reason, error)
    wait_s = max(least_s, backoff_s(task.attempt, task.retry.initial_s, task.retry.max_s, draw))
    run_at = now + timedelta(seconds=wait_s)
    if task.deadline is not None and run_at >= task.deadline:
        return GiveUp(reason, error)
    return RetryAt(run_at, reason, error)
