"""Kinds of task that say everything they know, wherever they can: what came encrypted must not be heard."""

from typing import Any

from pydantic import BaseModel

from app.task_types import PermanentError, Resources, TaskContext, task_type

LITTLE = Resources(cpu=0.1, memory_mb=64)


class Secret(BaseModel):
    """Something to be kept."""

    note: str


@task_type("tell_all", parameters=Secret, resources=LITTLE)
def tell_all(parameters: Secret, context: TaskContext) -> dict[str, Any]:
    """Prints, logs, reports and returns it."""
    print(parameters.note)  # noqa: T201 - that is the point
    context.logger.warning("the note is %s", parameters.note)
    context.progress(0.5, note=parameters.note)
    return {"note": parameters.note}


@task_type("fail_loudly", parameters=Secret, resources=LITTLE)
def fail_loudly(parameters: Secret, _context: TaskContext) -> None:
    """Raises it."""
    raise PermanentError(f"cannot do {parameters.note}")


@task_type("fail_in_the_loop", parameters=Secret, resources=LITTLE)
async def fail_in_the_loop(parameters: Secret, context: TaskContext) -> None:
    """Logs and raises it."""
    context.logger.error("the note is %s", parameters.note)
    raise PermanentError(f"cannot do {parameters.note}")


@task_type("run_outside", parameters=Secret, resources=LITTLE, runs_in="external")
def run_outside(_parameters: Secret, _context: TaskContext) -> None:
    """Is done by somebody else."""
