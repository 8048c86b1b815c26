"""What the answers about nodes and paused kinds of task look like, for the OpenAPI document."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.api.status_schemas import VECTOR, Vector


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
