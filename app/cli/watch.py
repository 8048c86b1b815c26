"""task-executor watch: follow a task to its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from app.cli.credentials import connect
from app.cli.failures import CommandFailed, ExitCode, Unreachable
from app.cli.following import follow
from app.cli.options import DEFAULT_URL, JsonOption, PrivateKeyOption, TaskIdArgument, TokenOption, UrlOption
from app.cli.output import print_raw, tell
from app.cli.service import Service
from app.cli.status import show
from app.cli.tables import err
from app.cli.task_view import TaskView, headline, waiting
from app.telemetry.printable import printable

DETAILS_WIDTH = 60


def watch(
    task_id: TaskIdArgument,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    *,
    private_key: PrivateKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a task to its end, with a progress bar; Ctrl-C stops watching, not the task.

    With --json each change is one line. Exit code 1 where the task fails.
    """
    with connect(url, token, private_key=private_key) as service:
        raise typer.Exit(watch_to_end(service, task_id, as_json=as_json))


def watch_to_end(service: Service, task_id: str, *, as_json: bool, answered: bool = False) -> ExitCode:
    """Shows the task until it is over, then its result; the exit code that says how it ended.

    Where the service has `answered` before, it is waited for from the beginning.
    """
    last: TaskView | None = None
    try:
        with _display(as_json=as_json) as display:
            for last in follow(service, task_id, display.away, in_words=not as_json, answered=answered):
                display.update(last)
    except KeyboardInterrupt:
        tell(
            f"\nThe task goes on without you. Watch it again: task-executor watch {task_id}\n"
            f"Stop it: task-executor cancel {task_id}"
        )
        return ExitCode.INTERRUPTED
    assert last is not None  # `follow` yields at least once or raises
    if not as_json:
        show(last, as_json=False)
    return last.exit_code


class _Display(Protocol):
    """Something that shows a task while it goes."""

    def update(self, task: TaskView) -> None:
        """The task has changed."""

    def away(self, failure: CommandFailed) -> None:
        """The service does not answer and will be asked again."""


@contextmanager
def _display(*, as_json: bool) -> Iterator[_Display]:
    if as_json:
        yield _JsonLines()
    elif err().is_terminal and not err().is_dumb_terminal:
        with _bar() as progress:
            yield _Bar(progress)
    else:
        yield _Lines()


def _bar() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    return Progress(*columns, console=err(), transient=True)


class _Bar:
    """A bar on a terminal: state, progress, and what the handler or the queue says."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._row = progress.add_task("…", total=1.0, note="")

    def update(self, task: TaskView) -> None:
        """Moves the bar."""
        self._progress.update(self._row, description=task.state.value, completed=task.progress or 0.0, note=_note(task))

    def away(self, failure: CommandFailed) -> None:
        """Says so beside the bar."""
        self._progress.update(self._row, note=_away_note(failure))


class _Lines:
    """A line for each change, where the output is no terminal."""

    def __init__(self) -> None:
        self._is_away = False
        self._last = ""

    def update(self, task: TaskView) -> None:
        """Prints the state and what goes with it, where that is something new."""
        self._is_away = False
        note = _note(task)
        line = headline(task).plain + (f"  {note}" if note else "")
        if line != self._last:
            tell(line)
        self._last = line

    def away(self, failure: CommandFailed) -> None:
        """Says so once, until the service answers again."""
        if not self._is_away:
            tell(_away_note(failure))
        self._is_away = True


class _JsonLines:
    """Each change as the service's own JSON, one a line."""

    def update(self, task: TaskView) -> None:
        """Prints the message."""
        print_raw(task.text)

    def away(self, failure: CommandFailed) -> None:
        """Says so on stderr."""
        tell(_away_note(failure))


def _note(task: TaskView) -> str:
    if why := waiting(task, datetime.now(UTC)):
        return printable(why)
    details = task.details.get("progress_details")
    if not isinstance(details, dict) or task.state.terminal:
        return ""
    return printable(", ".join(f"{name} {value}" for name, value in details.items()))[:DETAILS_WIDTH]


def _away_note(failure: CommandFailed) -> str:
    what = "does not answer" if isinstance(failure, Unreachable) else "cannot answer"
    return f"the service {what} at the moment; trying again"
