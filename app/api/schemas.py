"""What the service's answers look like, for the OpenAPI document and those who build clients from it.

Answers are put together as text (app/protocol/task.py, app/api/answers.py) and never pass through these models; the
tests hold the two together. Members that may be absent have a default, members that are always there have none.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.api.delivery_schemas import Acknowledged, Acknowledgement
from app.protocol.history import MessageName, Party
from app.protocol.messages import SubmitTask
from app.protocol.reasons import Reason
from app.protocol.states import State

Vector = dict[str, Any]
"""Amounts by unit, as `app.protocol.resources.to_wire` writes them."""

_VECTOR: JsonDict = {"examples": [{"cpu": 1, "memory_mb": 512}]}


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

    requested: Vector = Field(description="What the task asks for.", json_schema_extra=_VECTOR)
    allocated: Vector = Field(description="What it holds now; empty before it starts and when it is over.")
    used: dict[str, float] = Field(description="What was measured: cpu_s (seconds), peak_memory_mb (MiB).")


class Waiting(BaseModel):
    """Why a task has not started."""

    model_config = ConfigDict(extra="allow")

    reason: str = Field(
        description="queued: others come first. insufficient: others hold what is missing. capacity: more than any "
        "node has at the moment. retry: the next attempt is due later. handed_back: its executor is shutting down.",
        examples=["insufficient"],
    )
    missing: Vector = Field(default={}, description="What is missing now, by unit.")
    position: int | None = Field(default=None, ge=1, description="Place in the queue, from 1.")
    held_by: list[str] = Field(default=[], description="Ids of one's own running tasks that hold what is missing.")
    held_by_others: int = Field(default=0, description="How many tasks of others hold it.")
    expected_start: datetime | None = Field(default=None, description="From the run times seen so far.")
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
    attempt: int = Field(description="Number of the current or last attempt; 0 before the first.")
    started_at: datetime | None = Field(description="When the first attempt began.")
    finished_at: datetime | None = Field(description="Set as soon as the task is Completed, Failed or Rejected.")
    sequence: int = Field(description="Sequence of the last message of its history.")
    acknowledged: int = Field(description="Up to where the submitter has acknowledged the history; 0 before.")
    resources: TaskResources
    progress_details: dict[str, Any] | None = Field(description="What the handler said with its last progress.")
    waiting: Waiting | None = Field(description="Why it has not started; null for any other state.")
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


class HistoryItem(BaseModel):
    """One message of a task's history."""

    sequence: int = Field(ge=1, description="From 1, without gaps.")
    name: MessageName
    sender: Party
    recipient: Party
    recorded_at: datetime
    status: State = Field(description="The task's state after the message.")
    message: dict[str, Any] = Field(description="The message, exactly as it was sent.")
    previous_hash: str = Field(description="Hash of the item before; 64 zeros for the first.")
    hash: str = Field(description="SHA-256 over the item before and this one's own members, in hexadecimal.")


class HistoryPage(BaseModel):
    """One page of a task's history."""

    items: list[HistoryItem]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last.")


class RequestedResources(BaseModel):
    """What a task would ask for."""

    requested: Vector = Field(json_schema_extra=_VECTOR)
    free: bool = Field(description="Whether they would be granted at once.")


class DryRun(BaseModel):
    """What would happen to an acceptable message (`validate_only=true`)."""

    valid: Literal[True]
    type: str
    priority: int
    resources: RequestedResources
    expected_start: datetime | None = Field(description="Now, where resources are free; else null.")
    replay_of: str | None = Field(description="The task that this message has made already.")


class Problem(BaseModel):
    """An error (RFC 9457). `type` is a stable name that a program may switch on."""

    type: str = Field(examples=["urn:task-executor:problem:invalid-task"])
    title: str
    status: int
    detail: str
    instance: str = Field(description="Names this one answer; the service's log has it too.")
    errors: list[ProblemMember] = Field(default=[], description="Everything that is wrong, member by member.")
    task_id: str | None = Field(default=None, description="The task concerned, such as the Rejected one that is kept.")
    task_status: State | None = Field(default=None, description="Where that task stands.")
    reason: Reason | None = Field(default=None, description="How that task came to its end.")
    last_sequence: int | None = Field(default=None, description="Sequence of that task's last message.")


class Batch(BaseModel):
    """Many submit_task messages in one call."""

    model_config = ConfigDict(extra="forbid")

    messages: list[SubmitTask] = Field(min_length=1, max_length=1000)


class Taken(BaseModel):
    """The outcome of a message that was accepted (202) or had been before (200)."""

    status: Literal[200, 202]
    task: TaskStatus


class Refused(BaseModel):
    """The outcome of a message that was not accepted."""

    status: int = Field(ge=400, le=599)
    problem: Problem


class BatchOutcomes(BaseModel):
    """One outcome for each message, in the same order."""

    outcomes: list[Taken | Refused]


class TaskTypeDescription(BaseModel):
    """A kind of task."""

    type: str
    description: str
    parameters_schema: dict[str, Any] = Field(description="JSON Schema of `parameters`.")
    resources: Vector = Field(description="What it asks for by default.", json_schema_extra=_VECTOR)
    timeout_s: float = Field(description="Longest time of one attempt, in seconds, by default.")
    max_attempts: int = Field(description="Attempts by default.")
    runs_in: Literal["asyncio", "process", "external"]
    example: dict[str, Any] = Field(description="Parameters that work.")
    examples: list[dict[str, Any]] = Field(description="More of them.")


class TaskTypePage(BaseModel):
    """Every kind of task that can be submitted."""

    items: list[TaskTypeDescription]
    next_cursor: str | None


class Totals(BaseModel):
    """Resources of all nodes together."""

    capacity: Vector = Field(json_schema_extra=_VECTOR)
    allocated: Vector
    free: Vector
    running: int = Field(description="Tasks that hold resources.")
    waiting: int = Field(description="Tasks that a node has in its queue.")


class Shape(BaseModel):
    """How many tasks wait for one and the same amount."""

    resources: Vector
    tasks: int


class NodeResources(Totals):
    """Resources of one node."""

    node: str
    waiting_for: list[Shape]


class ResourcesAnswer(Totals):
    """What there is to run tasks on: in all, and per node."""

    nodes: list[NodeResources]


class Live(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class Ready(BaseModel):
    """The service takes tasks."""

    status: Literal["ready"]
    node: str


ANSWERS: tuple[type[BaseModel], ...] = (
    TaskStatus,
    TaskPage,
    HistoryPage,
    Acknowledged,
    DryRun,
    Problem,
    BatchOutcomes,
    TaskTypeDescription,
    TaskTypePage,
    ResourcesAnswer,
    Live,
    Ready,
)
REQUESTS: tuple[type[BaseModel], ...] = (SubmitTask, Batch, Acknowledgement)
