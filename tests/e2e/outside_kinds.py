"""Kinds of task that run outside of the service."""

from pydantic import BaseModel

from app.task_types import Resources, task_type


class Pages(BaseModel):
    """What is to be printed."""

    pages: int


@task_type("print", parameters=Pages, resources=Resources(cpu=1000), runs_in="external", timeout_s=60, max_attempts=2)
def print_pages(_parameters: Pages) -> None:
    """Prints pages. It takes more cpu than this machine has."""


@task_type("scan", parameters=Pages, resources=Resources(custom={"scanner": 1}), runs_in="external", timeout_s=0.2)
def scan_pages(_parameters: Pages) -> None:
    """Scans pages, in no time."""
