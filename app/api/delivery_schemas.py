"""What submitters and the service tell each other about deliveries; see schemas.py."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.protocol.messages import (
    PRIORITY_MAX,
    PRIORITY_MIN,
    TIMEOUT_MAX_S,
    Identifier,
    LabelName,
    LabelValue,
    RetryPolicy,
    Timestamp,
)
from app.protocol.resources import Resources


class Acknowledgement(BaseModel):
    """Everything up to one message has been received."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sequence: int = Field(ge=1, description="Sequence of the last message received.", examples=[1])


class Acknowledged(BaseModel):
    """How far the messages of a task have been acknowledged."""

    task_id: str
    acknowledged: int = Field(ge=0, description="Everything up to this sequence counts as received.")
    last_sequence: int = Field(ge=1, description="Sequence of the last message, an Acknowledge included.")


class ErasureEntry(BaseModel):
    """The record of an erasure."""

    task_id: str
    erased_at: datetime
    erased_by: str = Field(description="Subject of the token that asked for it first.")


def _without_defaults(schema: dict[str, Any]) -> None:
    """What is left out stays as it was in the failed task: that is no value that could be named."""
    for member in schema["properties"].values():
        member.pop("default", None)


class RetryOverrides(BaseModel):
    """What is to be otherwise than in the failed task; each member takes the place of the old one as a whole."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_without_defaults)

    message_id: Identifier = Field(default="", description="Where left out, one made from the failed task's.")
    priority: int = Field(default=0, ge=PRIORITY_MIN, le=PRIORITY_MAX, description="The lower number runs first.")
    deadline: Timestamp | None = Field(default=None, description="null: none.")
    parameters: dict[str, Any] = Field(default={}, description="As the task type's own schema says.")
    resources: Resources | None = Field(default=None, description="null: the task type's defaults.")
    timeout_s: float | None = Field(
        default=None, gt=0, le=TIMEOUT_MAX_S, allow_inf_nan=False, description="null: the task type's default."
    )
    retry: RetryPolicy | None = Field(default=None, description="null: the task type's default.")
    labels: dict[LabelName, LabelValue] = Field(default={}, max_length=32)
