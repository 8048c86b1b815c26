"""Logs: one line an event, on stderr (protocol, "Logging Requirements").

Levels are info, warn and error. Lines about a task have one of the protocol's three event types as their
`event` and carry `task_id` and `message_id`. Everything else (uvicorn, Alembic, our own
`logging.getLogger(__name__)`, structlog) goes through the same rendering, with its text as `event`, and what
looks like a token or a password in it is redacted.

Nothing is set up at import: until `configure` has been called, task events are not written and other
loggers behave as Python's defaults have it.
"""

import atexit
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO, Literal

import structlog

from app.telemetry.line_writer import LineWriter
from app.telemetry.rendering import ConsoleLine, json_line, redact

Level = Literal["info", "warn", "error"]
LEVELS: dict[str, int] = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
"""The protocol's log levels, and what they are in Python's logging."""

QUIET_LOGGERS = ("httpx", "httpcore", "alembic")
"""Warnings and errors only: the first two tell of every request with its whole URL, which may hold a secret, the third
tells ten times at a first start that it is there."""


class EventType(StrEnum):
    """The protocol's event types."""

    SUBMISSION = "submission"
    STATE_CHANGE = "state_change"
    COMPLETION = "completion"


@dataclass(frozen=True, slots=True)
class _Output:
    threshold: int
    render: Callable[[dict[str, Any]], bytes]
    writer: LineWriter


class _Process:
    """Where this process's logs go at the moment: None until `configure`."""

    output: _Output | None = None


_process = _Process()


def configure(level: str = "info", *, json: bool | None = None, stream: BinaryIO | None = None) -> None:
    """Sends all logs of this process to `stream` (stderr), as JSON lines or, where `json` is false, as columns.

    Where `json` is None a terminal gets columns and everything else JSON. A second call replaces the first.
    Lines are written at most 0.2 s after they were made, and at exit.

    Raises ValueError for a level that is not info, warn or error.
    """
    if level not in LEVELS:
        raise ValueError(f"the log level must be info, warn or error, not {level!r}")
    shutdown()
    target = sys.stderr.buffer if stream is None else stream
    is_terminal = target.isatty()
    as_json = not is_terminal if json is None else json
    render = json_line if as_json else ConsoleLine(colors=is_terminal and not os.environ.get("NO_COLOR"))
    output = _process.output = _Output(LEVELS[level], render, LineWriter(target))
    _route_loggers(output)
    atexit.register(shutdown)


def shutdown() -> None:
    """Writes what is left and puts Python's and structlog's loggers back as `configure` found them."""
    output, _process.output = _process.output, None
    if output is None:
        return
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _LineHandler)]:
        root.removeHandler(handler)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    output.writer.close()
    atexit.unregister(shutdown)


def flush() -> None:
    """Returns when every line so far is with the operating system."""
    if _process.output is not None:
        _process.output.writer.flush()


def task_event(event: EventType, *, task_id: str, message_id: str, level: Level = "info", **fields: object) -> None:
    """Writes one line about a task. Costs about three microseconds; see docs/monitoring.md.

    `fields` are what else is known (state, attempt, reason, ...): plain values that are no secrets.
    """
    output = _process.output
    if output is None or LEVELS[level] < output.threshold:
        return
    line = {"timestamp": _now(), "level": level, "event": event.value, "task_id": task_id, "message_id": message_id}
    output.writer.write(output.render({**line, **fields}))


def task_logger(task_id: str, message_id: str) -> logging.LoggerAdapter[logging.Logger]:
    """A logger for a handler: each of its lines carries the task's identifiers."""
    return logging.LoggerAdapter(
        logging.getLogger("task_executor.task"), {"task_id": task_id, "message_id": message_id}
    )


class _LineHandler(logging.Handler):
    """Takes the records of Python's logging to the line writer."""

    def __init__(self, output: _Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._output.writer.write(redact(self._output.render(_event_of(record))))
        except Exception:  # noqa: BLE001 - whatever is wrong with a record, its maker must not fail for it
            self.handleError(record)
        if record.levelno >= logging.ERROR:
            # The last error before a crash is the line that everyone will look for.
            self._output.writer.flush()


def _route_loggers(output: _Output) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.render_to_log_kwargs,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    root = logging.getLogger()
    root.addHandler(_LineHandler(output))
    root.setLevel(output.threshold)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


_NOT_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_FORMATTER = logging.Formatter()


def _event_of(record: logging.LogRecord) -> dict[str, Any]:
    """A record of Python's logging as an event: its text, its extra fields, its traceback."""
    event: dict[str, Any] = {
        "timestamp": _now(),
        "level": _level_name(record.levelno),
        "event": record.getMessage(),
        "logger": record.name,
    }
    event.update((name, value) for name, value in vars(record).items() if name not in _NOT_FIELDS)
    if record.exc_info:
        event["exception"] = _FORMATTER.formatException(record.exc_info)
    if record.stack_info:
        event["stack"] = record.stack_info
    return event


def _level_name(number: int) -> Level:
    if number >= logging.ERROR:
        return "error"
    return "warn" if number >= logging.WARNING else "info"


class _Clock:
    """The time as text. The part down to the second is made once a second: 0.5 us a call against 1.8 us."""

    def __init__(self) -> None:
        self._made: tuple[int, str] = (-1, "")

    def __call__(self) -> str:
        """RFC 3339 in UTC, with microseconds."""
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        known, text = self._made
        if known != seconds:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
            self._made = (seconds, text)
        return f"{text}.{nanoseconds // 1000:06d}Z"


_now = _Clock()
