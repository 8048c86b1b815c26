"""The `sleep` task: takes its time and says how far it is."""

import asyncio

from pydantic import BaseModel, ConfigDict, Field

from app.protocol.resources import Resources
from app.task_types.context import TaskContext
from app.task_types.definition import task_type

UPDATES_PER_S = 10


class SleepParameters(BaseModel):
    """How long to sleep."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seconds: float = Field(ge=0, le=86_400, allow_inf_nan=False, description="Seconds to sleep.")


@task_type(
    "sleep",
    parameters=SleepParameters,
    resources=Resources(cpu=0.01, memory_mb=1),
    timeout_s=90_000,
    examples=({"seconds": 1.5},),
)
async def sleep(parameters: SleepParameters, context: TaskContext) -> dict[str, float]:
    """Sleeps for so many seconds and reports progress as it goes. For trying out progress, cancel and timeouts."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    end = begin + parameters.seconds
    while (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, 1 / UPDATES_PER_S))
        context.progress(min(1.0, (loop.time() - begin) / parameters.seconds))
    return {"slept_s": round(loop.time() - begin, 3)}
