"""What the task_status message looks like (protocol, "Message Types"), for the OpenAPI document.

See app/api/schemas.py, which has the other answers.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.protocol.reasons import Reason
from app.protocol.states import State

Vector = dict[str, Any]
"""Amounts by unit, as `app.protocol.resources.to_wire` writes them."""

VECTOR: JsonDict = {"examples": [{"cpu": 1, "memory_mb": 512}]}


STATUS_EXAMPLE: JsonDict = {
    "type": "task_status",
    "header": {
        "message_id": "01a2092b-b65d-71ec-ad7b-8d8a9fb8c13b.5",
        "reference_id": "task-123",
        "timestamp": "2026-11-23T10:00:00.412650Z",
    },
    "body": {
        "status": "Executing",
        "progress": 0.42,
        "details": {
            "task_id": "01a2092b-b65d-71ec-ad7b-8d8a9fb8c13b",
            "type": "data_processing",
            "priority": 1,
            "deadline": "2026-11-23T10:30:00.000000Z",
            "submitter": "alice",
            "submitted_at": "2026-11-23T10:00:00.107812Z",
            "labels": {"team": "search"},
            "retry_of": None,
            "max_attempts": 3,
            "encrypted": False,
            "attempt": 1,
            "started_at": "2026-11-23T10:00:00.113508Z",
            "finished_at": None,
            "sequence": 5,
            "acknowledged": 2,
            "resources": {
                "requested": {"cpu": 1, "memory_mb": 512},
                "allocated": {"cpu": 1, "memory_mb": 512},
                "used": {},
            },
            "progress_details": {"step": "transform"},
            "waiting": None,
            "warning": None,
            "reason": None,
            "error": None,
            "result": None,
        },
    },
}


class StatusHeader(BaseModel):
    """Header of a task_status message."""

    message_id: str = Field(description="The task's id and the sequence of its last message.")
    reference_id: str = Field(description="The message_id under which the task was submitted.")
    timestamp: datetime = Field(description="When the task last changed.")


class TaskResources(BaseModel):
    """A task's resources, by unit: cpu (cores), memory_mb (MiB), gpu (devices), custom (units of the operator's)."""

    requested: Vector = Field(description="What the task asks for.", json_schema_extra=VECTOR)
    allocated: Vector = Field(description="What it holds now; empty before it starts and when it is over.")
    used: dict[str, float] = Field(description="What was measured: cpu_s (seconds), peak_memory_mb (MiB).")


class Waiting(BaseModel):
    """Why a task has not started."""

    model_config = ConfigDict(extra="allow")

    reason: str = Field(
        description="queued: others come first. insufficient: others hold what is missing. capacity: more than any "
        "node has at the moment. retry: the next attempt is due later. handed_back: its executor is shutting down. "
        "paused: an operator has paused its kind, or every node that is large enough. quota: its submitter runs, or "
        "holds, as much as it may.",
        examples=["insufficient"],
    )
    missing: Vector = Field(default={}, description="What is missing now, by unit.")
    position: int | None = Field(default=None, ge=1, description="Place in the queue, from 1.")
    position_at_least: int | None = Field(
        default=None, ge=1, description="Instead of `position` where more is ahead than is counted."
    )
    held_by: list[str] = Field(default=[], description="Ids of one's own running tasks that hold what is missing.")
    held_by_others: int = Field(default=0, description="How many tasks of others hold it.")
    expected_start: datetime | None = Field(default=None, description="From the run times seen so far.")
    expected_start_range: list[datetime] | None = Field(
        default=None, min_length=2, max_length=2, description="The earliest and the latest that are likely."
    )
    policy: str | None = Field(default=None, description="The quota that is used up: running or held.")
    limit: int | None = Field(default=None, description="Of the quota running: the most.")
    used: int | None = Field(default=None, description="Of the quota running: what runs.")
    next_attempt_at: datetime | None = Field(default=None, description="When a Waiting task is due again.")


class ProblemMember(BaseModel):
    """One member of a message that is not acceptable."""

    pointer: str = Field(description="JSON Pointer (RFC 6901) into the message.", examples=["/body/priority"])
    detail: str = Field(description="What is wrong with it.", examples=["is required"])


class TaskError(BaseModel):
    """How a task failed."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="The kind of error, such as the name of the exception raised.")
    message: str = Field(description="A sentence for people.")
    errors: list[ProblemMember] = Field(default=[], description="Of a Rejected task: everything that is wrong.")


class TaskWarning(BaseModel):
    """What threatens a task."""

    kind: Literal["deadline_infeasible", "deadline_at_risk"] = Field(
        description="deadline_infeasible: said at submission. deadline_at_risk: said later, by a ProgressUpdate."
    )
    message: str = Field(description="A sentence for people.")
    expected_end: datetime = Field(description="From the run times seen so far.")


class TaskDetails(BaseModel):
    """Everything that is known of a task. Members that say nothing are null."""

    task_id: str = Field(description="A UUIDv7, given by the service.", json_schema_extra={"format": "uuid"})
    type: str = Field(description="The kind of task.")
    priority: int = Field(description="The lower number runs first.")
    deadline: datetime | None
    submitter: str = Field(description="Subject of the token with which it was submitted.")
    submitted_at: datetime
    labels: dict[str, str]
    retry_of: str | None = Field(description="The failed task that this one repeats.")
    max_attempts: int = Field(description="Attempts before it fails for good.")
    encrypted: bool = Field(description="It came encrypted: what is shown as `sealed` opens in encrypted answers only.")
    attempt: int = Field(description="Number of the current or last attempt; 0 before the first.")
    started_at: datetime | None = Field(description="When the first attempt began.")
    finished_at: datetime | None = Field(description="Set as soon as the task is Completed, Failed or Rejected.")
    sequence: int = Field(description="Sequence of the last message of its history.")
    acknowledged: int = Field(description="Up to where the submitter has acknowledged the history; 0 before.")
    resources: TaskResources
    progress_details: dict[str, Any] | None = Field(description="What the handler said with its last progress.")
    waiting: Waiting | None = Field(description="Why it has not started; null for any other state.")
    warning: TaskWarning | None = Field(description="What threatens it, while it is under way.")
    reason: Reason | None = Field(description="How it came to its end, of a Failed or Rejected task.")
    error: TaskError | None
    result: Any = Field(description="What the handler returned; null until Completed, and in the short view of a list.")


class TaskStatusBody(BaseModel):
    """Body of a task_status message."""

    status: State
    progress: float | None = Field(ge=0, le=1, description="0 to 1; null before the first attempt.")
    details: TaskDetails


class TaskStatus(BaseModel):
    """The protocol's task_status message."""

    model_config = ConfigDict(json_schema_extra={"examples": [STATUS_EXAMPLE]})

    type: Literal["task_status"]
    header: StatusHeader
    body: TaskStatusBody


class TaskPage(BaseModel):
    """One page of a list of tasks."""

    items: list[TaskStatus]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last.")
