"""The `echo` task: returns what it was given."""

from typing import Any

from pydantic import RootModel

from app.protocol.resources import Resources
from app.task_types.context import TaskContext
from app.task_types.definition import task_type


class EchoParameters(RootModel[dict[str, Any]]):
    """Any JSON object."""


@task_type(
    "echo",
    parameters=EchoParameters,
    resources=Resources(cpu=0.01, memory_mb=1),
    timeout_s=60,
    examples=({"greeting": "hello"},),
)
async def echo(parameters: EchoParameters, context: TaskContext) -> dict[str, Any]:  # noqa: ARG001 - each handler gets one
    """Returns its parameters, whatever object they are. For trying things out."""
    return parameters.root
