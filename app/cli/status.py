"""task-executor status: how a task stands."""

from datetime import UTC, datetime

import typer

from app.cli.credentials import connect
from app.cli.explained import explained
from app.cli.options import DEFAULT_URL, JsonOption, PrivateKeyOption, TaskIdArgument, TokenOption, UrlOption
from app.cli.output import print_raw
from app.cli.service import task_path
from app.cli.tables import out
from app.cli.task_view import TaskView, describe, view


def status(
    task_id: TaskIdArgument,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    *,
    private_key: PrivateKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a task stands: its progress, why it waits, its result or error.

    Exit code 1 where the task has failed or was rejected.
    """
    with connect(url, token, private_key=private_key) as service:
        task = view(service.get(task_path(task_id)).text)
        if not as_json:
            task = explained(service, task)
    show(task, as_json=as_json)
    raise typer.Exit(task.exit_code)


def show(task: TaskView, *, as_json: bool) -> None:
    """Prints a task, for people or as the service's JSON."""
    if as_json:
        print_raw(task.text)
    else:
        out().print(describe(task, datetime.now(UTC)))
