"""The obligations of a backend, checked on each of them."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.execution.backends.backend import Backend, Failed, Stopped, StopSignal, Succeeded
from app.protocol.reasons import Reason
from tests.execution.backends.attempts import DEADLINE, Recorded, record
from tests.execution.backends.conftest import MAX_RESULT_BYTES

Find = Callable[[str], Callable[..., Any]]


async def failed(backend: Backend, recorded: Recorded) -> Failed:
    outcome = await backend.run(recorded.attempt)
    assert isinstance(outcome, Failed)
    return outcome


async def test_returns_the_result_as_json(backend: Backend, handler: Find) -> None:
    parameters: dict[str, Any] = {"text": "Grüße \u2028 \x00", "big": 10**40, "list": [1, None, True, 0.5]}
    outcome = await backend.run(record(handler("echo"), **parameters).attempt)
    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.result_json) == parameters


async def test_tells_the_handler_about_its_attempt(backend: Backend, handler: Find) -> None:
    recorded = record(handler("about"))
    outcome = await backend.run(recorded.attempt)
    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.result_json) == {
        "task_id": recorded.attempt.task_id,
        "message_id": "message-1",
        "attempt": 2,
        "deadline": DEADLINE.isoformat(),
        "cpu": 1,
        "cancelled": False,
        "nan": None,
    }


async def test_reports_progress_in_order_before_the_outcome(backend: Backend, handler: Find) -> None:
    recorded = record(handler("steps"))
    outcome = await backend.run(recorded.attempt)
    assert isinstance(outcome, Succeeded)
    assert outcome.result_json == "null"
    assert recorded.progress == [(step / 4, {"step": step, "ratio": None}) for step in range(5)]


@pytest.mark.parametrize(
    ("error", "message", "permanent"),
    [
        ("ValueError", "the \ufffd value ? is bad", False),
        ("PermanentError", "never", True),
        ("SystemExit", "3", False),
        ("KeyboardInterrupt", "", False),
        ("CancelledError", "", False),
        ("GeneratorExit", "", False),
        ("Unreadable", "the error has no readable message", False),
    ],
)
async def test_what_a_handler_raises_fails_its_attempt(
    backend: Backend, handler: Find, error: str, message: str, *, permanent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await failed(backend, record(handler("fail"), error=error))
    assert outcome.reason is Reason.EXECUTION_ERROR
    assert outcome.error == {"kind": error, "message": message}
    assert outcome.permanent is permanent
    assert "in _raise" in caplog.text
    assert isinstance(await backend.run(record(handler("echo")).attempt), Succeeded)


async def test_a_handler_may_say_when_to_try_again(backend: Backend, handler: Find) -> None:
    outcome = await failed(backend, record(handler("fail"), error="RetryLater"))
    assert (outcome.error["message"], outcome.permanent, outcome.retry_after_s) == ("busy", False, 7.5)


async def test_a_long_message_is_cut(backend: Backend, handler: Find) -> None:
    outcome = await failed(backend, record(handler("fail"), error="Huge"))
    assert outcome.error == {"kind": "ValueError", "message": "x" * 2_000}


async def test_an_endless_recursion_fails_its_attempt(
    backend: Backend, handler: Find, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await failed(backend, record(handler("recurse")))
    assert outcome.error["kind"] == "RecursionError"
    assert len(caplog.text) < 20_000


async def test_running_out_of_memory_fails_its_attempt(backend: Backend, handler: Find) -> None:
    outcome = await failed(backend, record(handler("fail"), error="MemoryError"))
    assert outcome.error["kind"] == "MemoryError"
    assert not outcome.permanent


async def test_parameters_that_no_longer_fit_fail_for_good(backend: Backend, handler: Find) -> None:
    outcome = await failed(backend, record(handler("strict"), number="secret"))
    assert outcome.permanent
    assert outcome.error["kind"] == "UnusableParameters"
    assert "/number" in outcome.error["message"]
    assert "secret" not in outcome.error["message"]


@pytest.mark.parametrize("what", ["object", "surrogate", "nested", "circle"])
async def test_a_result_that_is_not_json_fails_for_good(backend: Backend, handler: Find, what: str) -> None:
    outcome = await failed(backend, record(handler("result"), what=what))
    assert outcome.reason is Reason.EXECUTION_ERROR
    assert outcome.permanent
    assert outcome.error["kind"] == "ResultNotJson"


async def test_a_result_that_is_too_large_fails_for_good(backend: Backend, handler: Find) -> None:
    outcome = await failed(backend, record(handler("result"), what="large"))
    assert outcome.reason is Reason.RESULT_TOO_LARGE
    assert outcome.permanent
    assert outcome.error["message"] == "the result takes 200002 bytes of JSON; at most 100000 are kept"
    fits = await backend.run(record(handler("echo"), text="x" * (MAX_RESULT_BYTES - len('{"text":""}'))).attempt)
    assert isinstance(fits, Succeeded)


@pytest.mark.parametrize("what", ["object", "large"])
async def test_details_that_progress_cannot_have_are_an_error_of_the_handler(
    backend: Backend, handler: Find, what: str
) -> None:
    recorded = record(handler("details"), what=what)
    outcome = await failed(backend, recorded)
    assert outcome.error["kind"] == "ValueError"
    assert "details of progress" in outcome.error["message"]
    assert recorded.progress == []


@pytest.mark.parametrize("reason", [Reason.TIMED_OUT, Reason.DEADLINE_EXCEEDED, Reason.EXECUTOR_LOST])
async def test_stops_an_attempt(backend: Backend, handler: Find, reason: Reason) -> None:
    recorded = record(handler("wait"))
    running = asyncio.create_task(backend.run(recorded.attempt))
    await recorded.began.wait()
    recorded.attempt.stop.set(reason)
    recorded.attempt.stop.set(Reason.CANCELLED)
    outcome = await running
    assert isinstance(outcome, Stopped)
    assert outcome.reason is reason
    assert isinstance(await backend.run(record(handler("echo")).attempt), Succeeded)


async def test_does_not_begin_what_is_stopped_already(backend: Backend, handler: Find) -> None:
    recorded = record(handler("wait"))
    recorded.attempt.stop.set(Reason.CANCELLED)
    assert await backend.run(recorded.attempt) == Stopped(Reason.CANCELLED, {})
    assert recorded.progress == []


async def test_stops_an_attempt_that_has_not_begun_yet(backend: Backend, handler: Find) -> None:
    recorded = record(handler("wait"))
    running = asyncio.create_task(backend.run(recorded.attempt))
    asyncio.get_running_loop().call_soon(recorded.attempt.stop.set, Reason.TIMED_OUT)
    outcome = await running
    assert isinstance(outcome, Stopped)
    assert outcome.reason is Reason.TIMED_OUT


async def test_a_cancelled_handler_has_time_to_end(backend: Backend, handler: Find, tmp_path: Path) -> None:
    recorded = record(handler("heed"), path=str(tmp_path / "note"))
    running = asyncio.create_task(backend.run(recorded.attempt))
    await recorded.began.wait()
    recorded.attempt.stop.set(Reason.CANCELLED)
    outcome = await running
    assert isinstance(outcome, Stopped)
    assert outcome.reason is Reason.CANCELLED
    assert (tmp_path / "note").read_text() == "cancelled"


async def test_a_late_stop_changes_nothing(backend: Backend, handler: Find) -> None:
    recorded = record(handler("echo"))
    assert isinstance(await backend.run(recorded.attempt), Succeeded)
    recorded.attempt.stop.set(Reason.CANCELLED)
    assert isinstance(await backend.run(record(handler("echo")).attempt), Succeeded)


async def test_ends_the_handler_when_it_is_cancelled_itself(backend: Backend, handler: Find, tmp_path: Path) -> None:
    recorded = record(handler("wait"), path=str(tmp_path / "note"))
    running = asyncio.create_task(backend.run(recorded.attempt))
    await recorded.began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert isinstance(await backend.run(record(handler("echo")).attempt), Succeeded)


async def test_closing_stops_what_runs(backend: Backend, handler: Find) -> None:
    attempts = [record(handler("wait")) for _ in range(3)]
    running = [asyncio.create_task(backend.run(recorded.attempt)) for recorded in attempts]
    for recorded in attempts:
        await recorded.began.wait()
    await backend.close()
    outcomes = await asyncio.gather(*running)
    assert [type(outcome) for outcome in outcomes] == [Stopped] * 3
    assert {recorded.attempt.stop.reason for recorded in attempts} == {Reason.EXECUTOR_LOST}


async def test_attempts_run_side_by_side(backend: Backend, handler: Find) -> None:
    waiting = record(handler("wait"))
    held = asyncio.create_task(backend.run(waiting.attempt))
    await waiting.began.wait()
    outcomes = await asyncio.gather(*(backend.run(record(handler("echo"), n=n).attempt) for n in range(20)))
    assert [outcome.result_json for outcome in outcomes if isinstance(outcome, Succeeded)] == [
        f'{{"n":{n}}}' for n in range(20)
    ]
    assert not held.done()


def test_a_stop_signal_keeps_its_first_reason_and_tells_it_once() -> None:
    stop = StopSignal()
    heard: list[Reason] = []
    stop.listen(heard.append)
    stop.set(Reason.TIMED_OUT)
    stop.set(Reason.CANCELLED)
    assert heard == [Reason.TIMED_OUT]
    stop.listen(heard.append)
    assert heard == [Reason.TIMED_OUT, Reason.TIMED_OUT]
    stop.ignore()
    assert stop.reason is Reason.TIMED_OUT


async def test_the_traceback_names_the_task(backend: Backend, handler: Find, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    recorded = record(handler("fail"), error="ValueError")
    await backend.run(recorded.attempt)
    [line] = [line for line in caplog.records if "raised ValueError" in line.getMessage()]
    assert vars(line)["task_id"] == recorded.attempt.task_id
