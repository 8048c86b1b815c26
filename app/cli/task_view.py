"""A task_status message as the commands look at it, and as people see it."""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.text import Text

from app.cli.durations import spell_span
from app.cli.failures import ExitCode, Refused
from app.cli.tables import cell, grid
from app.protocol.states import QUEUED, State
from app.protocol.times import parse_time
from app.resources.words import in_words
from app.telemetry.printable import printable

STYLES = {State.COMPLETED: "green", State.FAILED: "red", State.REJECTED: "red", State.EXECUTING: "cyan"}
LINE, INDENT = 100, "  "
"""How a result is laid out: columns of a line at most (its name apart), and the step to the right."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task as the service last told. `text` is the message exactly as it came.

    `explanation` is what the service says in words of how it stands, where it was asked.
    """

    text: str
    state: State
    progress: float | None
    details: dict[str, Any]
    explanation: str | None = None

    @property
    def task_id(self) -> str:
        """The service's id of the task."""
        return str(self.details.get("task_id"))

    @property
    def exit_code(self) -> ExitCode:
        """1 for a task that ended without success, 0 for any other."""
        unsuccessful = self.state.terminal and self.state is not State.COMPLETED
        return ExitCode.FAILED if unsuccessful else ExitCode.OK


def view(text: str) -> TaskView:
    """Reads a task_status message. Raises Refused where it is none: something else answered."""
    try:
        message = json.loads(text)
        return view_of(message, text)
    except (ValueError, KeyError, TypeError, AttributeError):
        problem = {"title": "this is no task_status message", "detail": "is a Task Executor at this address?"}
        raise Refused(200, problem, None) from None


def view_of(message: dict[str, Any], text: str = "") -> TaskView:
    """The view of a message that is parsed already. Raises KeyError, TypeError or ValueError where it is none."""
    body = message["body"]
    details = dict(body.get("details") or {})
    details.setdefault("message_id", message.get("header", {}).get("reference_id"))
    return TaskView(text, State(body["status"]), body.get("progress"), details)


def headline(task: TaskView) -> Text:
    """The state, and how far the task is."""
    line = Text(task.state.value, style=STYLES.get(task.state, "yellow"))
    if task.progress is not None and not task.state.terminal:
        line.append(f" {task.progress:.0%}", style="bold")
    if task.details.get("reason"):
        line.append(f" ({printable(str(task.details['reason']))})")
    return line


def describe(task: TaskView, now: datetime) -> Group:
    """Everything about a task that says something, for people. `now` is in UTC."""
    details = task.details
    rows = [("task", cell(task.task_id, "bold")), ("status", headline(task))]
    rows += [(name, cell(details.get(name))) for name in ("type", "message_id", "submitter", "priority")]
    rows.append(("attempt", cell(_attempt(details))))
    rows += [(name, cell(_moment(details.get(f"{name}_at"), now))) for name in ("submitted", "started", "finished")]
    rows.append(("deadline", cell(_moment(details.get("deadline"), now))))
    rows.append(("labels", cell(_pairs(details.get("labels")))))
    resources = details.get("resources") or {}
    rows += [(name, cell(_pairs(resources.get(name)))) for name in ("requested", "allocated", "used")]
    rows += [("details", cell(_pairs(details.get("progress_details")))), ("waiting", cell(waiting(task, now)))]
    rows.append(("error", cell(_error(details.get("error")), "red")))
    shown = [grid([row for row in rows if row[1].plain])]
    result = details.get("result")
    return Group(*shown) if result is None else Group(*shown, Text("result", style="dim"), Text(pretty(result)))


def pretty(value: Any) -> str:
    """JSON for people, safe for a terminal: what fits on a line stands on one."""
    return printable(_laid_out(value, ""), lines=True)


def _laid_out(value: Any, margin: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(margin) + len(flat) <= LINE or not value or not isinstance(value, dict | list):
        return flat
    inner = margin + INDENT
    if isinstance(value, list):
        lines = [_laid_out(each, inner) for each in value]
        return f"[\n{inner}" + f",\n{inner}".join(lines) + f"\n{margin}]"
    lines = [f"{json.dumps(name, ensure_ascii=False)}: {_laid_out(each, inner)}" for name, each in value.items()]
    return f"{{\n{inner}" + f",\n{inner}".join(lines) + f"\n{margin}}}"


def waiting(task: TaskView, now: datetime) -> str | None:
    """Why a task has not started, in words, or None; `now` is in UTC."""
    if task.state not in QUEUED or task.explanation is not None:
        return task.explanation
    if not task.details.get("waiting"):
        return None
    # What a service says is not to be relied on: where it is no explanation there is none.
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        return in_words({"body": {"status": task.state, "progress": None, "details": task.details}}, now)
    return None


def _attempt(details: dict[str, Any]) -> str | None:
    attempt, most = details.get("attempt"), details.get("max_attempts")
    if not attempt:
        return None
    return f"{attempt} of {most}" if most else str(attempt)


def _moment(text: str | None, now: datetime) -> str | None:
    if not text:
        return None
    try:
        moment = parse_time(text)
    except ValueError:
        return text
    shown = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    seconds = (now - moment).total_seconds()
    return f"{shown} ({spell_span(seconds)} ago)" if seconds >= 0 else f"{shown} (in {spell_span(-seconds)})"


def _pairs(values: Any) -> str | None:
    if not values:
        return None
    if not isinstance(values, dict):
        return json.dumps(values)
    return ", ".join(f"{name}={_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _error(error: Any) -> str | None:
    if not isinstance(error, dict):
        return None if error is None else str(error)
    rest = {name: value for name, value in error.items() if name not in ("kind", "message")}
    parts = [str(error[name]) for name in ("kind", "message") if error.get(name)]
    return ": ".join(parts) + (f" ({_pairs(rest)})" if rest else "")
