"""A task as people see it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from app.cli.failures import Refused
from app.cli.task_view import describe, pretty, view_of, waiting
from app.cli.task_view import view as view_text
from tests.cli.scripted import status_message

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)


def shown(message: Any) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(describe(view_of(message), NOW))
    return capture.get()


def test_everything_that_says_something_is_shown() -> None:
    text = shown(
        status_message(
            "Executing",
            progress=0.42,
            message_id="task-123",
            submitted_at="2026-01-31T09:58:30.000000Z",
            deadline="2026-01-31T11:00:00.000000Z",
            attempt=2,
            max_attempts=3,
            labels={"team": "a"},
            resources={"requested": {"cpu": 1}, "allocated": {"cpu": 1, "custom": {"licence": 2}}, "used": {}},
            progress_details={"step": "aggregate"},
        )
    )
    for expected in (
        "Executing 42%",
        "2 of 3",
        "(1 min 30 s ago)",
        "(in 1 h)",
        "team=a",
        'cpu=1, custom={"licence": 2}',
        "step=aggregate",
    ):
        assert expected in text
    for absent in ("used", "error", "waiting", "finished", "result"):
        assert absent not in text


def test_why_it_waits() -> None:
    details: dict[str, Any] = {
        "waiting": {
            "reason": "insufficient",
            "missing": {"cpu": 1},
            "position": 4,
            "held_by": ["a", "b"],
            "expected_start": "2026-01-31T10:05:00Z",
            "expected_start_range": ["2026-01-31T10:04:00Z", "2026-01-31T10:07:00Z"],
        }
    }
    task = view_of(status_message("ResourceAllocation", **details))
    told = "waits for 1 cpu; held by 2 tasks; 3 tasks are ahead; expected in about 5 min (between 4 min and 7 min)"
    assert waiting(task, NOW) == told
    assert told in shown(status_message("ResourceAllocation", **details))
    assert waiting(replace(task, explanation="waits for its turn"), NOW) == "waits for its turn"


def test_where_not_all_was_counted_it_says_at_least_so_many() -> None:
    details: dict[str, Any] = {"waiting": {"reason": "queued", "position_at_least": 10_001}}
    task = view_of(status_message("ResourceAllocation", **details))
    assert waiting(task, NOW) == "waits for its turn; at least 10,000 tasks are ahead"


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("ResourceAllocation", None),
        ("Executing", {"reason": "insufficient"}),
        ("Waiting", ["nonsense"]),
        ("Waiting", {"missing": {"cpu": "much"}}),
        ("Waiting", {"expected_start": 5}),
    ],
)
def test_what_says_nothing_of_a_wait_is_left_out(state: str, why: Any) -> None:
    assert waiting(view_of(status_message(state, waiting=why)), NOW) is None


def test_a_failure_shows_its_reason_and_its_evidence() -> None:
    error = {"kind": "KilledBySignal", "message": "the handler died", "signal": 11}
    text = shown(status_message("Failed", reason="execution_error", error=error))
    assert "Failed (execution_error)" in text
    assert "KilledBySignal: the handler died (signal=11)" in text


@pytest.mark.parametrize("hostile", ["\x1b[2J\x1b[31m", "\x9b2J", "[bold red]x[/]", "a\nb"])
def test_nothing_that_a_service_says_reaches_the_terminal_as_a_command(hostile: str) -> None:
    text = shown(
        status_message(
            "Failed",
            type=hostile,
            reason=hostile,
            labels={hostile: hostile},
            error={"kind": hostile, "message": hostile},
            result={hostile: hostile},
            progress_details={"a": hostile},
            submitted_at=hostile,
        )
    )
    assert "\x1b" not in text
    assert "\x9b" not in text
    if hostile.startswith("[bold"):
        assert hostile in text


def test_the_exit_code_says_how_a_task_ended() -> None:
    codes = {
        state: view_of(status_message(state)).exit_code for state in ("Completed", "Failed", "Rejected", "Waiting")
    }
    assert codes == {"Completed": 0, "Failed": 1, "Rejected": 1, "Waiting": 0}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"body": 3}', '{"body": {"status": "Dancing"}}', "<html>"])
def test_an_answer_that_is_no_status_is_a_sentence(text: str) -> None:
    with pytest.raises(Refused, match="Task Executor"):
        view_text(text)


def test_what_fits_on_a_line_stands_on_one() -> None:
    row = {"country": "US", "orders": 194, "revenue": 27465.3, "share": [0.25, 0.75]}
    value = {"rows": [row, row], "note": "x" * 120, "none": [], "few": [1, {"a": "ä"}]}
    assert pretty(value).splitlines() == [
        "{",
        '  "rows": [',
        '    {"country": "US", "orders": 194, "revenue": 27465.3, "share": [0.25, 0.75]},',
        '    {"country": "US", "orders": 194, "revenue": 27465.3, "share": [0.25, 0.75]}',
        "  ],",
        f'  "note": "{"x" * 120}",',
        '  "none": [],',
        '  "few": [1, {"a": "ä"}]',
        "}",
    ]
    assert json.loads(pretty(value)) == value
