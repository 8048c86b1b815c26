"""task-executor audit: whether the histories are as they were recorded."""

from typing import Annotated

import typer

from app.api.visible import TASK_ID
from app.cli.failures import CommandFailed, Usage
from app.cli.local_database import on_database
from app.cli.output import say
from app.settings import Settings
from app.storage.audit import Verified
from app.storage.audit import verify as verify_histories
from app.storage.database import Database

TIMEOUT_S = 24 * 3600.0

audit = typer.Typer(help="Whether the histories are as they were recorded.", no_args_is_help=True)


@audit.callback()
def _group() -> None:
    """Keeps `verify` a command of its own while it is the only one."""


@audit.command()
def verify(
    task_id: Annotated[str | None, typer.Argument(help="One task.", metavar="TASK_ID")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All tasks.")] = False,
) -> None:
    """Find the first message of each task that was altered, is missing or was moved. Exit code 1 where there is one."""
    if (task_id is None) is not everything:
        raise Usage("Say what: a task, or --all")
    if task_id is not None and not TASK_ID.fullmatch(task_id):
        raise Usage(f"{task_id!r} is no task id")

    async def work(url: str, _settings: Settings) -> Verified:
        database = Database(url, pool_size=1, statement_timeout_s=TIMEOUT_S)
        try:
            return await verify_histories(database, task_id)
        finally:
            await database.close()

    verified = on_database(work)
    if task_id is not None and not verified.tasks:
        raise CommandFailed(f"There is no task {task_id} in the database.")
    for found in verified.breaks:
        say(f"{found.task_id} {'-' if found.sequence is None else found.sequence}: {found.what}")
    say(f"{verified.tasks} tasks, {verified.messages} messages ({verified.erased} erased): {_verdict(verified)}")
    if verified.breaks:
        raise typer.Exit(1)


def _verdict(verified: Verified) -> str:
    if verified.breaks:
        return f"{len(verified.breaks)} histories are not as they were recorded"
    return "every history is whole"
