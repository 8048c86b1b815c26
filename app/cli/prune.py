"""task-executor prune: drop the weeks of tasks whose time has passed."""

from datetime import timedelta
from typing import Annotated

import typer

from app.cli.local_database import on_database
from app.cli.output import say
from app.settings import Settings
from app.storage import retention
from app.storage.retention import PrunedWeek, Pruning


def prune(
    *,
    older_than: Annotated[
        int | None,
        typer.Option(min=1, help="Days instead of TASK_EXECUTOR_RETENTION_DAYS.", metavar="DAYS"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be dropped.")] = False,
) -> None:
    """Drop whole weeks of tasks that were over so long ago, with their histories.

    The service does this by itself four times a day; it may run meanwhile.
    """

    async def work(url: str, settings: Settings) -> Pruning:
        days = settings.storage.retention_days if older_than is None else older_than
        return await retention.prune(url, timedelta(days=days), dry_run=dry_run)

    pruning = on_database(work)
    say(f"Finished before {pruning.finished_before:%Y-%m-%d %H:%M} UTC{' (nothing is dropped)' if dry_run else ''}:")
    for week in pruning.weeks:
        say(_line(week))
    say(f"{pruning.stragglers} tasks of weeks that had been dropped before")


def _line(week: PrunedWeek) -> str:
    if week.dropped is None:
        return f"{week.week}: stays, {week.kept} tasks of it are not over or ended lately; nor is a later week dropped"
    return f"{week.week}: {week.dropped} tasks and their histories, {week.bytes / 1e6:.1f} MB; {week.kept} outlive it"
