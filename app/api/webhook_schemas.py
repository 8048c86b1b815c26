"""What submitters, admins and the service tell each other about webhooks; see schemas.py."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.protocol.callbacks import AcknowledgedBy, Event

State = Literal["active", "delivered", "gone", "dead"]
WEEK_S = 7 * 86_400


class Delivery(BaseModel):
    """How the webhooks of one task stand."""

    task_id: str
    submitter: str
    state: State | None = Field(
        description="`active`; `delivered`: the task is over and everything has arrived; `gone`: the receiver answered "
        "410; `dead`: given up. null: the task has no callback."
    )
    url: str | None
    events: list[Event] | None = Field(description="The messages that are sent; null: all of them.")
    acknowledge: AcknowledgedBy | None
    secret: Literal["own", "registered"] | None = Field(description="What signs: the callback's secret, or yours.")
    delivered_sequence: int = Field(ge=0, description="The last message that has arrived.")
    last_sequence: int = Field(ge=0, description="The last message that there is for you.")
    attempts: int = Field(ge=0)
    failures: int = Field(ge=0, description="Attempts at the next message so far.")
    last_outcome: str | None
    last_attempt_at: datetime | None
    waiting_since: datetime | None = Field(description="Since when the next message waits.")
    next_attempt_at: datetime | None


class DeliveryAttempt(BaseModel):
    """One attempt at one message."""

    attempt: int = Field(ge=1, description="Counts over all messages of the task.")
    sequence: int = Field(ge=1, description="Of the message that was sent.")
    attempted_at: datetime
    outcome: str = Field(
        description="The class of the status (`2xx` and so on), or `timeout`, `unreachable`, `unresolved`, `tls`, "
        "`broken`, `forbidden` (the address), `unsigned` (no key)."
    )
    duration_ms: int
    next_attempt_at: datetime | None = Field(description="When the same message was to be sent again; else null.")


class DeliveryLogPage(Delivery):
    """How the webhooks of one task stand, and the last attempts, the newest first."""

    items: list[DeliveryAttempt]
    next_cursor: str | None


class DeliveryPage(BaseModel):
    """Deliveries that fail or have been ended, those of the newest tasks first."""

    items: list[Delivery]
    next_cursor: str | None


class RedeliverRequest(BaseModel):
    """Which messages of a task to send once more."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sequence: int = Field(default=1, ge=1, le=2_147_483_647, description="The first of them; left out, all.")


class AdminRedeliverRequest(BaseModel):
    """Which deliveries to take up again where they stand: exactly one of `task_ids` and `state`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task_ids: (
        Annotated[
            list[Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]],
            Field(min_length=1, max_length=1000),
        ]
        | None
    ) = None
    state: Literal["active", "gone", "dead"] | None = Field(
        default=None, description="All that are failing (`active`), that receivers have ended (`gone`), or given up."
    )

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.task_ids is None) == (self.state is None):
            raise ValueError("must name either task_ids or state")
        return self


class Redelivered(BaseModel):
    """How many deliveries were taken up again; 1,000 at most in one call."""

    redelivered: int = Field(ge=0)


class SecretRequest(BaseModel):
    """How long the secret before goes on signing beside the new one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_s: float = Field(default=86_400, ge=0, le=WEEK_S, allow_inf_nan=False, description="In seconds.")


class WebhookSecret(BaseModel):
    """A signing secret, without what is secret."""

    secret_id: str
    created_at: datetime
    shown_at: datetime | None = Field(description="When its owner was shown it; null: never.")
    expires_at: datetime | None = Field(description="null: it stays until it is replaced.")


class NewWebhookSecret(BaseModel):
    """A signing secret, shown this once."""

    secret_id: str
    secret: str = Field(pattern="^whsec_", description="`whsec_` and the base64 of the key.")
    created_at: datetime


class WebhookSecretPage(BaseModel):
    """The secrets that sign, the newest first."""

    items: list[WebhookSecret]
    next_cursor: str | None


ANSWERS: tuple[type[BaseModel], ...] = (
    Delivery,
    DeliveryLogPage,
    DeliveryPage,
    Redelivered,
    WebhookSecretPage,
    NewWebhookSecret,
)
REQUESTS: tuple[type[BaseModel], ...] = (RedeliverRequest, AdminRedeliverRequest, SecretRequest)
