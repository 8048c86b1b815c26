"""What a process that was configured writes, from whichever logger it comes."""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from app.protocol.times import parse_time
from app.telemetry.logging import EventType, configure, flush, shutdown, task_event, task_logger

IDENTIFIERS: Any = {"task_id": "019a0000-0000-7000-8000-000000000000", "message_id": "task-123"}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Every test leaves the process's logging as it was."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    shutdown()
    root.setLevel(level)
    assert root.handlers == handlers


@pytest.fixture
def stream() -> io.BytesIO:
    return io.BytesIO()


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("event", EventType)
def test_a_line_of_a_task_names_it(stream: io.BytesIO, event: EventType) -> None:
    configure("info", stream=stream)
    task_event(event, **IDENTIFIERS, state="Executing", attempt=1)
    [line] = lines(stream)
    age = datetime.now(UTC) - parse_time(line.pop("timestamp"))
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert line == {"level": "info", "event": str(event), **IDENTIFIERS, "state": "Executing", "attempt": 1}


class Terminal(io.BytesIO):
    """What is written to it is seen by somebody."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_has_colours_unless_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org: set, and not empty."""
    for wish, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", wish)
        terminal = Terminal()
        configure("info", stream=terminal)
        task_event(EventType.SUBMISSION, **IDENTIFIERS)
        flush()
        assert (b"\x1b[" in terminal.getvalue()) is coloured


def test_the_protocols_event_types_and_levels() -> None:
    assert sorted(EventType) == ["completion", "state_change", "submission"]
    for level in ("debug", "warning", "INFO", ""):
        with pytest.raises(ValueError, match="info, warn or error"):
            configure(level)


def test_nothing_is_written_before_configure_or_after_shutdown(stream: io.BytesIO) -> None:
    task_event(EventType.SUBMISSION, **IDENTIFIERS)
    configure("info", stream=stream)
    shutdown()
    task_event(EventType.SUBMISSION, **IDENTIFIERS)
    assert stream.getvalue() == b""


@pytest.mark.parametrize(("level", "expected"), [("info", 3), ("warn", 2), ("error", 1)])
def test_the_level_decides_for_task_events_and_loggers_alike(stream: io.BytesIO, level: str, expected: int) -> None:
    configure(level, stream=stream)
    logger = logging.getLogger("app.some.room")
    task_event(EventType.COMPLETION, **IDENTIFIERS)
    task_event(EventType.COMPLETION, **IDENTIFIERS, level="warn")
    task_event(EventType.COMPLETION, **IDENTIFIERS, level="error")
    logger.debug("never")
    logger.info("text")
    logger.warning("text")
    logger.error("text")
    written = [line["level"] for line in lines(stream)]
    assert written == ["info", "warn", "error"][-expected:] * 2


def test_pythons_loggers_go_the_same_way(stream: io.BytesIO) -> None:
    configure("info", stream=stream)
    logging.getLogger("uvicorn.error").info("Started %s", "server", extra={"color_message": "\x1b[1m", "port": 80})
    [line] = lines(stream)
    del line["timestamp"]
    assert line == {"level": "info", "event": "Started server", "logger": "uvicorn.error", "port": 80}


def test_structlog_goes_the_same_way(stream: io.BytesIO) -> None:
    configure("info", stream=stream)
    structlog.get_logger("app.room").warning("it is late", task_id="t", minutes=5)
    [line] = lines(stream)
    del line["timestamp"]
    assert line == {"level": "warn", "event": "it is late", "logger": "app.room", "task_id": "t", "minutes": 5}


def test_warnings_go_the_same_way(stream: io.BytesIO) -> None:
    configure("info", stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    [line] = lines(stream)
    assert line["level"] == "warn"
    assert "old ways" in line["event"]


def test_a_traceback_is_one_field(stream: io.BytesIO) -> None:
    configure("info", stream=stream)
    try:
        int("nothing there")
    except ValueError:
        logging.getLogger("app.room").exception("a task failed")
    [line] = lines(stream)
    assert line["event"] == "a task failed"
    assert line["exception"].endswith("ValueError: invalid literal for int() with base 10: 'nothing there'")


def test_a_handlers_own_logger_names_its_task(stream: io.BytesIO) -> None:
    configure("info", stream=stream)
    task_logger(**IDENTIFIERS).info("halfway")
    [line] = lines(stream)
    assert line["event"] == "halfway"
    assert {name: line[name] for name in IDENTIFIERS} == IDENTIFIERS


def test_tokens_and_passwords_never_reach_a_line(stream: io.BytesIO) -> None:
    configure("info", stream=stream)
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
    logging.getLogger("app.room").error("%s", {"url": "postgresql://u:canary-1@h/d"}, extra={"header": token})
    flush()
    assert b"canary-1" not in stream.getvalue()
    assert b"c2lnbmF0dXJl" not in stream.getvalue()


def test_libraries_that_log_every_url_are_quiet(stream: io.BytesIO) -> None:
    configure("info", stream=stream)
    logging.getLogger("httpx").info("HTTP Request: POST https://hooks.example.org/secret-path")
    assert lines(stream) == []


def test_a_record_that_cannot_be_rendered_hurts_nobody(stream: io.BytesIO, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", stream=stream)
    # Not by logger.info: the test runner's own handler would take the defect for the test's.
    for handler in logging.getLogger().handlers:
        if type(handler).__name__ == "_LineHandler":
            handler.handle(
                logging.makeLogRecord(
                    {"name": "app.room", "levelno": logging.INFO, "msg": "%d apples", "args": ("no number",)}
                )
            )
    logging.getLogger("app.room").info("still here")
    assert [line["event"] for line in lines(stream)] == ["still here"]
    assert "no number" in capsys.readouterr().err


def test_errors_are_with_the_system_at_once(stream: io.BytesIO) -> None:
    configure("info", stream=stream)
    logging.getLogger("app.room").error("about to crash")
    assert b"about to crash" in stream.getvalue()


def test_columns_for_people(stream: io.BytesIO) -> None:
    configure("info", json=False, stream=stream)
    task_event(EventType.STATE_CHANGE, **IDENTIFIERS, state="Executing")
    flush()
    text = stream.getvalue().decode()
    assert "state_change" in text
    assert "message_id=task-123" in text
    assert "\x1b" not in text


def test_a_second_configure_replaces_the_first(stream: io.BytesIO) -> None:
    other = io.BytesIO()
    configure("info", stream=other)
    configure("info", stream=stream)
    logging.getLogger("app.room").info("once")
    assert [line["event"] for line in lines(stream)] == ["once"]
    assert other.getvalue() == b""


def test_importing_configures_nothing_and_leaving_writes_everything() -> None:
    program = (
        "import logging\n"
        "import app.telemetry.logging as logs\n"
        "assert not logging.getLogger().handlers\n"
        "logs.configure('info')\n"
        "logs.task_event(logs.EventType.SUBMISSION, task_id='a', message_id='b')\n"
        "logging.getLogger('x').info('last words')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ended.stdout == b""
    assert [json.loads(line)["event"] for line in ended.stderr.splitlines()] == ["submission", "last words"]
