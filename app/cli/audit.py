"""task-executor audit: whether the histories are as they were recorded."""

from pathlib import Path
from typing import Annotated

import typer

from app.api.visible import TASK_ID
from app.cli.audit_heads import Compared, compare
from app.cli.failures import CommandFailed, Usage
from app.cli.local_database import on_database
from app.cli.output import say
from app.security.head_signing import head_keys
from app.security.jwks import keys_from_file
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
    against: Annotated[
        Path | None,
        typer.Option(help="Directory of signed heads: does the database still have what they name?", metavar="DIR"),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="JWKS file with the keys of the heads, instead of the data directory's.", metavar="FILE"),
    ] = None,
) -> None:
    """Find the first message of each task that was altered, is missing or was moved. Exit code 1 where there is one.

    With --against also where the end of a history was cut off, or all of it replaced or removed.
    """
    if [task_id is not None, everything, against is not None].count(True) - (everything and against is not None) != 1:
        raise Usage("Say what: a task, --all, --against DIR, or the last two together")
    if keys is not None and against is None:
        raise Usage("--keys goes with --against")
    if task_id is not None and not TASK_ID.fullmatch(task_id):
        raise Usage(f"{task_id!r} is no task id")
    whole = [
        *([_verify_histories(task_id)] if against is None or everything else []),
        *([_verify_against(against, keys)] if against is not None else []),
    ]
    if not all(whole):
        raise typer.Exit(1)


def _verify_histories(task_id: str | None) -> bool:
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
    return not verified.breaks


def _verdict(verified: Verified) -> str:
    if verified.breaks:
        return f"{len(verified.breaks)} histories are not as they were recorded"
    return "every history is whole"


def _verify_against(directory: Path, keys_file: Path | None) -> bool:
    async def work(url: str, settings: Settings) -> Compared:
        keys = head_keys(settings.storage.data_dir) if keys_file is None else keys_from_file(keys_file)
        database = Database(url, pool_size=1)
        try:
            return await compare(database, directory, keys)
        except OSError as error:
            raise CommandFailed(f"The heads in {directory} cannot be read: {error.strerror}.") from None
        finally:
            await database.close()

    compared = on_database(work)
    for problem in compared.problems:
        say(problem)
    for found in compared.deviations.values():
        say(f"{found.task_id} {'-' if found.sequence is None else found.sequence}: {found.what}")
    if not compared.heads:
        raise CommandFailed(f"There is no head in {directory} that could be compared with.")
    say(
        f"Heads {compared.first} to {compared.last}, the last of {compared.until:%Y-%m-%d %H:%M:%S} UTC: "
        f"{compared.entries} entries, {len(compared.dropped)} tasks dropped by retention since"
    )
    if compared.unsigned:
        say(f"{compared.unsigned} lines behind the last head are not signed yet, and were not looked at")
    bad = len(compared.problems) + len(compared.deviations)
    say(f"{bad} of what the heads say does not hold" if bad else "All that the heads name is there as it was")
    return not bad
