"""What the service makes of a child's answer or death."""

from typing import Any

import pytest

from app.execution.backends.backend import Failed, Succeeded
from app.execution.backends.frames import Ended, Resting
from app.execution.backends.nursery import Exit
from app.execution.backends.verdicts import answered, died
from app.protocol.reasons import Reason
from tests.execution.backends import handlers
from tests.execution.backends.attempts import record

RESTING = Resting(rss_mb=40, private_mb=20, cpu_s=1)
ENDED = Ended(cpu_s=0.5, peak_memory_mb=10, clean=True, resting=RESTING)


async def test_the_larger_of_two_peaks_counts() -> None:
    outcome = answered(record(handlers.echo).attempt, ENDED, b"{}", 100, peak_mb=12.3456)
    assert outcome == Succeeded("{}", {"cpu_s": 0.5, "peak_memory_mb": 12.346})


@pytest.mark.parametrize("body", [b"", b"{", b"{} {}", b'"\xff"', b"NaN", b'{"a":1},"status":"x"', b"[" * 100_000])
async def test_a_result_that_is_not_json_cannot_pass(body: bytes) -> None:
    outcome = answered(record(handlers.echo).attempt, ENDED, body, 1_000_000, peak_mb=0)
    assert isinstance(outcome, Failed)
    assert outcome.error["kind"] == "ResultNotJson"
    assert outcome.permanent


async def test_a_result_that_is_too_large_cannot_pass() -> None:
    outcome = answered(record(handlers.echo).attempt, ENDED, b'"12345"', 6, peak_mb=0)
    assert isinstance(outcome, Failed)
    assert outcome.reason is Reason.RESULT_TOO_LARGE


@pytest.mark.parametrize(
    ("end", "violation", "error"),
    [
        (
            Exit(-11, max_rss_mb=50),
            None,
            {"kind": "ProcessDied", "signal": "SIGSEGV", "asked_memory_mb": 64, "peak_memory_mb": 10},
        ),
        (
            Exit(-40, max_rss_mb=50),
            None,
            {"kind": "ProcessDied", "signal": "signal 40", "asked_memory_mb": 64, "peak_memory_mb": 10},
        ),
        (
            Exit(7, max_rss_mb=30),
            None,
            {"kind": "ProcessDied", "exit_code": 7, "asked_memory_mb": 64, "peak_memory_mb": 0},
        ),
        (Exit(-9, taken_mb=80), None, {"kind": "MemoryExceeded", "asked_memory_mb": 64, "peak_memory_mb": 80}),
        (Exit(-9), "no frame", {"kind": "ProcessDied", "asked_memory_mb": 64, "peak_memory_mb": 0}),
        (Exit(None, refused="no more processes"), None, {"kind": "ProcessDied"}),
    ],
)
def test_a_death_is_told_with_its_evidence(end: Exit, violation: str | None, error: dict[str, Any]) -> None:
    outcome = died(end, RESTING, 64, violation)
    message = outcome.error.pop("message")
    assert outcome.error == error
    assert len(message) > 20
    assert not outcome.permanent


def test_what_is_not_known_is_not_said() -> None:
    assert died(Exit(-9, cpu_s=1), None, 64, None).used == {}
    assert died(Exit(-9, cpu_s=3), RESTING, 64, None).used == {"cpu_s": 2, "peak_memory_mb": 0}
