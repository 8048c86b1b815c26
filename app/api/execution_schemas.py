"""What executors outside and the service tell each other; see schemas.py."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.api.status_schemas import Vector
from app.protocol.reasons import Reason
from app.protocol.resources import Resources

CLAIM_LIMIT = 100
MAX_WAIT_S = 60


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Claim(_Request):
    """An executor offers to run tasks."""

    types: list[Annotated[str, StringConstraints(min_length=1, max_length=255)]] | None = Field(
        default=None, min_length=1, max_length=100, description="Kinds that it serves; null: all that run outside."
    )
    resources: Resources | None = Field(
        default=None,
        description="What it offers; the tasks that it is given fit into it together. null: enough for any.",
    )
    limit: int = Field(default=1, ge=1, le=CLAIM_LIMIT, description="How many tasks at most.")
    wait_s: float = Field(
        default=0, ge=0, le=MAX_WAIT_S, allow_inf_nan=False, description="Seconds to wait for a first one."
    )


class ExecutionProgress(_Request):
    """How far an execution is."""

    progress: float = Field(ge=0, le=1, allow_inf_nan=False)
    details: dict[str, Any] = Field(default_factory=dict, description="Whatever the executor has to say; JSON.")


class Measured(_Request):
    """What an attempt has used."""

    cpu_s: float = Field(default=0, ge=0, le=1e9, allow_inf_nan=False, description="Processor time, seconds.")
    peak_memory_mb: float = Field(default=0, ge=0, le=1e9, allow_inf_nan=False, description="Most memory held, MiB.")


class ExecutionCompleted(_Request):
    """The attempt has its result."""

    result: Any = Field(description="Any JSON.")
    used: Measured | None = None


class ExecutionError(_Request):
    """What went wrong, for the submitter to read."""

    kind: str = Field(min_length=1, max_length=200, examples=["OutOfPaper"])
    message: str = Field(max_length=2000, examples=["tray 2 is empty"])


class ExecutionFailed(_Request):
    """The attempt has failed."""

    error: ExecutionError
    permanent: bool = Field(default=False, description="No other attempt would help.")
    used: Measured | None = None


class ExecutionGiven(BaseModel):
    """An attempt that an executor has been given: it has begun."""

    execution_id: str = Field(examples=["01a2092b-b65d-71ec-ad7b-8d8a9fb8c13b.1"])
    task_id: str
    message_id: str
    type: str
    parameters: dict[str, Any]
    attempt: int
    resources: Vector
    lease_s: float = Field(description="Seconds for which it is the executor's, counted from the last word of it.")
    stop_at: datetime = Field(description="The earlier of its timeout and the task's deadline.")
    deadline: datetime | None


class Executions(BaseModel):
    """What there was to do; empty where nothing was."""

    executions: list[ExecutionGiven]


class HeartbeatAnswer(BaseModel):
    """Whether to go on."""

    stop: Reason | None = Field(description="Why the executor should stop; null: go on.")
    lease_s: float = Field(description="Seconds for which it remains the executor's; 0: it is not any more.")
    stop_at: datetime


EXECUTION_ANSWERS: tuple[type[BaseModel], ...] = (Executions, HeartbeatAnswer)
EXECUTION_REQUESTS: tuple[type[BaseModel], ...] = (Claim, ExecutionProgress, ExecutionCompleted, ExecutionFailed)
