"""Kinds of task of a user's own, as docs describe them: one that runs in a child process, one in the service's loop."""

import os
from typing import Any

from pydantic import BaseModel

from app.task_types import PermanentError, Resources, TaskContext, task_type


class SumParameters(BaseModel):
    """Numbers to add."""

    numbers: list[int]
    fail_before: int = 1


@task_type("sum_up", parameters=SumParameters, resources=Resources(cpu=0.1, memory_mb=64), timeout_s=30)
def sum_up(parameters: SumParameters, context: TaskContext) -> dict[str, Any]:
    """Adds numbers; fails until the attempt that is asked for."""
    context.progress(0.5, stage="adding")
    if context.attempt < parameters.fail_before:
        raise RuntimeError(f"attempt {context.attempt} fails")
    return {"sum": sum(parameters.numbers), "process": os.getpid(), "attempt": context.attempt}


class NothingParameters(BaseModel):
    """None."""


@task_type("refuse", parameters=NothingParameters, resources=Resources(cpu=0.1, memory_mb=1))
async def refuse(_parameters: NothingParameters, _context: TaskContext) -> None:
    """Fails for good."""
    raise PermanentError("never")
