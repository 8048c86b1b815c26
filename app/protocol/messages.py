"""The messages that a submitter sends (protocol, "Message Definitions"), as pydantic models."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from app.protocol.callbacks import Callback
from app.protocol.resources import Resources
from app.protocol.times import parse_time

PRIORITY_MIN, PRIORITY_MAX = -32768, 32767
TIMEOUT_MAX_S = 7 * 24 * 3600
MAX_ATTEMPTS_LIMIT = 100
DEFAULT_MAX_ATTEMPTS = 3
"""Attempts that a task gets where neither it nor its type says otherwise (protocol, "Error Handling")."""

Timestamp = Annotated[
    datetime,
    BeforeValidator(parse_time),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$")]
LabelValue = Annotated[str, StringConstraints(max_length=255)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Header(_Strict):
    """Header of a submit_task message."""

    message_id: Identifier = Field(description="The submitter's own identifier, unique among its messages.")
    timestamp: Timestamp = Field(description="When the message was made; with a time zone.")


class RetryPolicy(_Strict):
    """When to try again after a failed attempt: initial_s, doubled each time, at most max_s, with full jitter."""

    max_attempts: int = Field(default=DEFAULT_MAX_ATTEMPTS, ge=1, le=MAX_ATTEMPTS_LIMIT)
    backoff: Literal["exponential"] = "exponential"
    initial_s: float = Field(default=1, ge=0, le=86_400, allow_inf_nan=False)
    max_s: float = Field(default=60, ge=0, le=86_400, allow_inf_nan=False)


class TaskSpecification(_Strict):
    """What is to be done, with what, and how often it may be tried."""

    type: str = Field(min_length=1, max_length=255, description="A kind of task that GET /v1/task-types lists.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="As the task type's own schema says.")
    resources: Resources | None = Field(default=None, description="Where left out, the task type's defaults.")
    timeout_s: float | None = Field(
        default=None, gt=0, le=TIMEOUT_MAX_S, allow_inf_nan=False, description="Longest time of one attempt, seconds."
    )
    retry: RetryPolicy | None = None
    labels: dict[LabelName, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Free names and values to find the task by."
    )
    callback: Callback | None = Field(default=None, description="Where to send the messages of the task, as webhooks.")


class SubmitBody(_Strict):
    """Body of a submit_task message."""

    task_specification: TaskSpecification
    priority: int = Field(ge=PRIORITY_MIN, le=PRIORITY_MAX, description="The lower number runs first.")
    deadline: Timestamp | None = Field(default=None, description="When the task must be over; with a time zone.")


class SubmitTask(_Strict):
    """The submit_task message, as the protocol's example has it."""

    type: Literal["submit_task"]
    header: Header
    body: SubmitBody
