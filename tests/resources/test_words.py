"""How a task stands, in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.protocol.states import State
from app.protocol.times import format_time
from app.resources.words import amounts, in_words, span

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)


def after(seconds: float) -> str:
    return format_time(NOW + timedelta(seconds=seconds))


def words(state: State, waiting: dict[str, Any] | None = None, progress: float | None = None, **details: Any) -> str:
    shown = {"waiting": waiting, "attempt": 0, "max_attempts": 3, "started_at": None, **details}
    return in_words({"body": {"status": state, "progress": progress, "details": shown}}, NOW)


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (
            {"reason": "insufficient", "missing": {"cpu": 1}, "position": 4, "expected_start": after(40)},
            "waits for 1 cpu; 3 tasks are ahead; expected in about 40 s",
        ),
        (
            {
                "reason": "insufficient",
                "missing": {"cpu": 0.5, "memory_mb": 512, "custom": {"licence": 1}},
                "position": 2,
                "held_by": ["a"],
                "held_by_others": 2,
                "expected_start": after(300),
                "expected_start_range": [after(120), after(600)],
            },
            (
                "waits for 0.5 cpu, 512 MiB of memory and 1 licence; held by 3 tasks, 1 of them yours; 1 task is "
                "ahead; expected in about 5 min (between 2 min and 10 min)"
            ),
        ),
        (
            {"reason": "insufficient", "missing": {"gpu": 1}, "position": 1, "held_by": ["a"], "held_by_others": 0},
            "waits for 1 gpu; held by 1 task; it is next",
        ),
        ({"reason": "queued"}, "waits for its turn"),
        ({"reason": "queued", "missing": {}, "position": 10_001}, "waits for its turn; 10,000 tasks are ahead"),
        (
            {"reason": "capacity", "missing": {"cpu": 6}},
            "waits for a node that is large enough: 6 cpu more than any has",
        ),
        ({"reason": "queued", "position_at_least": 10_001}, "waits for its turn; at least 10,000 tasks are ahead"),
        ({"reason": "handed_back"}, "was handed back by a node that is shutting down, and starts at another"),
        (
            {"reason": "paused"},
            "waits because an operator has paused its kind of task, or every node that is large enough",
        ),
        (
            {"reason": "quota", "policy": "running", "missing": {}, "limit": 1, "used": 3},
            "waits because its submitter may run 1 task at a time, and runs 3",
        ),
        (
            {"reason": "quota", "policy": "held", "missing": {"cpu": 0.5}, "limit": None, "used": None},
            "waits because its submitter may hold no more at a time: 0.5 cpu too little",
        ),
        ({"reason": "quota"}, "waits because its submitter has reached a quota"),
        ({"reason": "something new"}, "waits (something new)"),
        ({}, "waits (None)"),
    ],
)
def test_why_it_waits(waiting: dict[str, Any], said: str) -> None:
    assert words(State.RESOURCE_ALLOCATION, waiting) == said


def test_between_two_attempts() -> None:
    waiting = {"reason": "retry", "after": "timed_out", "next_attempt_at": after(8)}
    assert words(State.WAITING, waiting, attempt=1) == "waits for its next attempt, after 1 attempt; due in 8 s"


@pytest.mark.parametrize(
    ("said", "members"),
    [
        ("is being executed, attempt 2 of 3; first started 2 min ago; 42% done", {"progress": 0.42, "attempt": 2}),
        ("is being executed, attempt 1 of 3; first started 2 min ago", {"attempt": 1}),
    ],
)
def test_while_it_runs(said: str, members: dict[str, Any]) -> None:
    assert words(State.EXECUTING, started_at=after(-120), **members) == said


def test_when_it_is_over() -> None:
    error = {"kind": "timed_out", "message": "the attempt took longer than its timeout of 5 s"}
    said = "has ended as Failed (timed_out): the attempt took longer than its timeout of 5 s"
    assert words(State.FAILED, reason="timed_out", error=error) == said
    assert words(State.FAILED, reason="timed_out", error=None) == "has ended as Failed (timed_out)"
    assert words(State.COMPLETED, attempt=2) == "is done, after 2 attempts"
    assert words(State.COMPLETING) == "is Completing"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "less than a second"), (0.9, "less than a second"), (1, "1 s"), (99, "99 s"), (100, "2 min"),
     (5999, "100 min"), (6000, "2 h"), (2 * 86_400 - 1, "48 h"), (2 * 86_400, "2 days")],
)  # fmt: skip
def test_spans(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_amounts() -> None:
    assert amounts({}) == ""
    assert amounts({"cpu": 2}) == "2 cpu"
    assert amounts({"cpu": 2, "custom": {"licence": 0.5}}) == "2 cpu and 0.5 licence"
