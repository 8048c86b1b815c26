"""What the service's answers look like, for the OpenAPI document and those who build clients from it.

Answers are put together as text (app/protocol/task.py, app/api/answers.py) and never pass through these models; the
tests hold the two together. Members that may be absent have a default, members that are always there have none.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from app.api import webhook_schemas
from app.api.control_schemas import Explanation, NodePage, NodeState, PausedTypePage, PausedTypeState
from app.api.delivery_schemas import Acknowledged, Acknowledgement, ErasureEntry, RetryOverrides
from app.api.documented import ENVELOPE, SCHEMAS
from app.api.execution_schemas import EXECUTION_ANSWERS, EXECUTION_REQUESTS
from app.api.quota_schemas import QuotaAnswer, SetQuotaPage, SubmitterQuota
from app.api.security_schemas import RevocationEntry, RevocationPage, RevocationRequest
from app.api.status_schemas import VECTOR, ProblemMember, TaskPage, TaskStatus, TaskWarning, Vector
from app.protocol.history import MessageName, Party
from app.protocol.messages import SubmitTask
from app.protocol.quotas import Quota
from app.protocol.reasons import Reason
from app.protocol.states import State


class HistoryItem(BaseModel):
    """One message of a task's history."""

    sequence: int = Field(ge=1, description="From 1, without gaps.")
    name: MessageName
    sender: Party
    recipient: Party
    recorded_at: datetime
    status: State = Field(description="The task's state after the message.")
    message: dict[str, Any] | str | None = Field(
        description="The message, exactly as it was sent; a string where it came encrypted; null where it was erased."
    )
    previous_hash: str = Field(description="Hash of the item before; 64 zeros for the first.")
    hash: str = Field(description="SHA-256 over the item before and this one's own members, in hexadecimal.")
    message_digest: str = Field(default="", description="Of an erased message alone: the SHA-256 of its text.")
    erased_at: datetime | None = Field(default=None, description="Of an erased message alone: when.")


class HistoryPage(BaseModel):
    """One page of a task's history."""

    items: list[HistoryItem]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last.")


class RequestedResources(BaseModel):
    """What a task would ask for."""

    requested: Vector = Field(json_schema_extra=VECTOR)
    free: bool = Field(description="Whether they would be granted at once.")


class QuotaProspect(BaseModel):
    """Whether the submitter's quota has room for the message, as it looks now."""

    model_config = ConfigDict(serialize_by_alias=True)

    accepted: bool
    violated_policies: list[str] = Field(
        alias="violated-policies", description="The quotas that are used up: queued, stored_bytes."
    )


class DryRun(BaseModel):
    """What would happen to an acceptable message (`validate_only=true`)."""

    valid: Literal[True]
    type: str
    priority: int
    resources: RequestedResources
    expected_start: datetime | None = Field(description="Now, where resources are free; else null.")
    warning: TaskWarning | None = Field(description="What threatens it, such as a deadline that cannot be met.")
    replay_of: str | None = Field(description="The task that this message has made already.")
    quota: QuotaProspect


class Problem(BaseModel):
    """An error (RFC 9457). `type` is a stable name that a program may switch on."""

    type: str = Field(examples=["urn:task-executor:problem:invalid-task"])
    title: str
    status: int
    detail: str
    instance: str = Field(
        description="Names this one answer; the log has it too where the service refused the caller or failed."
    )
    errors: list[ProblemMember] = Field(default=[], description="Everything that is wrong, member by member.")
    task_id: str | None = Field(default=None, description="The task concerned, such as the Rejected one that is kept.")
    task_status: State | None = Field(default=None, description="Where that task stands.")
    reason: Reason | None = Field(default=None, description="How that task came to its end.")
    last_sequence: int | None = Field(default=None, description="Sequence of that task's last message.")


EncryptedMessage = Annotated[str, WithJsonSchema({"$ref": SCHEMAS + ENVELOPE})]


class Batch(BaseModel):
    """Many submit_task messages in one call."""

    model_config = ConfigDict(extra="forbid")

    messages: list[SubmitTask | EncryptedMessage] = Field(min_length=1, max_length=1000)


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
    resources: Vector = Field(description="What it asks for by default.", json_schema_extra=VECTOR)
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

    capacity: Vector = Field(json_schema_extra=VECTOR)
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


class PublicKey(BaseModel):
    """A public RSA key (RFC 7517; RFC 7518, section 6.3)."""

    kty: Literal["RSA"]
    use: Literal["enc", "sig"]
    alg: Literal["RSA-OAEP-256", "RS256"]
    kid: str = Field(description="Names the key: the header of a JWE must have it.")
    n: str
    e: str


class KeySet(BaseModel):
    """The service's public keys."""

    keys: list[PublicKey]


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
    ErasureEntry,
    RevocationEntry,
    RevocationPage,
    DryRun,
    Problem,
    BatchOutcomes,
    TaskTypeDescription,
    TaskTypePage,
    ResourcesAnswer,
    Explanation,
    QuotaAnswer,
    SubmitterQuota,
    SetQuotaPage,
    NodeState,
    NodePage,
    PausedTypeState,
    PausedTypePage,
    *webhook_schemas.ANSWERS,
    KeySet,
    Live,
    Ready,
    *EXECUTION_ANSWERS,
)
REQUESTS: tuple[type[BaseModel], ...] = (
    SubmitTask,
    Batch,
    Acknowledgement,
    RetryOverrides,
    RevocationRequest,
    Quota,
    *EXECUTION_REQUESTS,
    *webhook_schemas.REQUESTS,
)
