"""What the answers about quotas look like, for the OpenAPI document."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.api.status_schemas import VECTOR, Vector
from app.protocol.quotas import Quota


class QuotaUse(BaseModel):
    """What a submitter uses now."""

    queued: int = Field(description="Tasks that wait for a start, or for another attempt.")
    running: int = Field(description="Tasks that run.")
    held: Vector = Field(description="Resources that they hold.", json_schema_extra=VECTOR)
    stored_bytes: int = Field(description="Bytes of messages and results that are kept.")


class RateStanding(BaseModel):
    """Where a caller stands, as this service knows it; calls at others show with the next draw."""

    limit: int
    window_s: int
    remaining: int = Field(description="Calls that are left.")
    reset_s: int = Field(description="Seconds after which all of them are.")


class Consumed(BaseModel):
    """What the tasks that are kept have taken, up to ten seconds ago."""

    tasks: int = Field(description="Tasks of which something was measured.")
    cpu_s: float = Field(description="CPU seconds of all their attempts.")
    peak_memory_mb: float = Field(description="The highest peak of memory among them, MiB.")


class QuotaAnswer(BaseModel):
    """A caller's own quota."""

    submitter: str
    limits: Quota = Field(description="What is in force; null is unlimited.")
    used: QuotaUse
    rate: RateStanding | None = Field(description="null where calls are not limited.")
    consumed: Consumed


class SubmitterQuota(BaseModel):
    """A submitter's quota, as an admin sees it."""

    submitter: str
    quota: Quota = Field(description="What is set; null is as for everybody.")
    in_force: Quota = Field(description="With what is set for everybody; null is unlimited.")
    used: QuotaUse
    set_at: datetime | None
    set_by: str | None = Field(description="The admin who set it last.")


class SetQuotaEntry(BaseModel):
    """What is set for a submitter."""

    submitter: str
    quota: Quota
    set_at: datetime
    set_by: str


class SetQuotaPage(BaseModel):
    """Everything that is set, by submitter."""

    items: list[SetQuotaEntry]
    next_cursor: str | None
