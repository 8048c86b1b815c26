"""A kind of task with a side effect that outlives everything: each run appends a line to a ledger, a file."""

import asyncio
import os
from collections import Counter
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from app.task_types import Resources, TaskContext, task_type


class Record(BaseModel):
    """Where the run is recorded, and how long it then takes, with so many reports of progress on the way."""

    ledger: str
    seconds: float = 0.0
    steps: int = 0


@task_type("recorded", parameters=Record, resources=Resources(cpu=0.01, memory_mb=1), max_attempts=100)
async def recorded(parameters: Record, context: TaskContext) -> dict[str, int]:
    """Records that it runs."""
    # One short write to a file opened for appending is whole, whoever else writes.
    os.write(_ledger(parameters.ledger), f"{context.task_id}\n".encode())
    for step in range(parameters.steps):
        await asyncio.sleep(parameters.seconds / parameters.steps)
        context.progress((step + 1) / parameters.steps)
    return {"attempt": context.attempt}


@cache
def _ledger(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def runs_in(ledger: Path) -> Counter[str]:
    """How often each task has run."""
    return Counter(ledger.read_text().split()) if ledger.exists() else Counter()
