"""Callbacks: where the submitter of a task wants to be told how it goes, by webhook.

The protocol's messages from executor to submitter are what is sent; the form is that of the Standard Webhooks
specification (standardwebhooks.com).
"""

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SECRET_PREFIX = "whsec_"  # noqa: S105 - what each secret begins with
SECRET_BYTES = (24, 64)
"""Least and greatest size of a secret (Standard Webhooks, "Signature scheme")."""

Event = Literal["TaskAccepted", "ExecutionStarted", "ProgressUpdate", "TaskCompleted", "TaskFailed"]
EVENTS: tuple[Event, ...] = get_args(Event)
"""Every message to the submitter of an accepted task. A rejected message is answered, and nobody is called."""

AcknowledgedBy = Literal["response", "request"]


def key_of(secret: str) -> bytes:
    """The key in a secret. Raises ValueError for what is not spelled `whsec_` and base64."""
    least, greatest = SECRET_BYTES
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not least <= len(key) <= greatest:
        raise ValueError(f"must be {SECRET_PREFIX} and the base64 of {least} to {greatest} random bytes")
    return key


def secret_of(key: bytes) -> str:
    """A key as its owner is shown it."""
    return SECRET_PREFIX + b64encode(key).decode()


def sealing_purpose(submitter: str) -> str:
    """What a callback's own secret is sealed for: it opens nowhere else."""
    return f"callback {submitter}"


def sink_of(origin: str, submitter: str) -> str:
    """The name of a sink; an origin has no space in it."""
    return f"{origin} {submitter}"


def origin_of(sink: str) -> str:
    """Where a sink is: scheme, host and port."""
    return sink.partition(" ")[0]


def submitter_of(sink: str) -> str:
    """Whose sink it is."""
    return sink.partition(" ")[2]


def _is_secret(secret: str) -> str:
    key_of(secret)
    return secret


class Callback(BaseModel):
    """Whom to call with the messages of the task (Standard Webhooks)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: str = Field(min_length=1, description="An https:// URL at a public address; it takes POST.")
    secret: Annotated[str, AfterValidator(_is_secret)] | None = Field(
        default=None,
        repr=False,
        description="`whsec_…`: signs the messages of this task in place of your registered one.",
    )
    events: Annotated[list[Event], Field(min_length=1)] | None = Field(
        default=None, description="Names of the messages to send; where left out, all of them."
    )
    acknowledge: AcknowledgedBy = Field(
        default="response",
        description="`response`: an answer 2xx acknowledges a message. `request`: each message is sent again until "
        "you acknowledge it yourself.",
    )


@dataclass(frozen=True, slots=True)
class Registration:
    """A callback as it is stored beside its task.

    `sink` names who shares a line with it: one submitter's callbacks at one origin. `sealed_secret` is the callback's
    own secret, which nobody can read without the service's sealing key.
    """

    url: str
    sink: str
    events: tuple[str, ...] | None
    acknowledge: AcknowledgedBy
    sealed_secret: bytes | None
