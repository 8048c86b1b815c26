"""What the answers about waiting look like: explanations, nodes and paused kinds of task, for the OpenAPI document."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.api.status_schemas import VECTOR, Vector, Waiting
from app.protocol.states import State


class NodeState(BaseModel):
    """A node, and what is wanted of it."""

    node: str
    mode: Literal["serving", "paused", "draining"] = Field(
        description="paused: takes no tasks. draining: also hands back what does not finish in time."
    )
    started_at: datetime
    capacity: Vector = Field(json_schema_extra=VECTOR)
    allocated: Vector
    running: int = Field(description="Tasks that hold resources there; 0 says that a drain is over.")
    waiting: int


class NodePage(BaseModel):
    """Every node that lives."""

    items: list[NodeState]
    next_cursor: str | None


class PausedTypeState(BaseModel):
    """Whether a kind of task is paused."""

    type: str
    paused: bool
    paused_at: datetime | None
    paused_by: str | None = Field(description="Who wanted it first.")


class PausedTypePage(BaseModel):
    """Every kind of task that is paused."""

    items: list[PausedTypeState]
    next_cursor: str | None


class Explanation(BaseModel):
    """Why a task waits, or how it goes."""

    task_id: str
    status: State
    explanation: str = Field(examples=["waits for 1 cpu; 3 tasks are ahead; expected in about 40 s"])
    waiting: Waiting | None = Field(description="`details.waiting` of its status; null once it has started.")
