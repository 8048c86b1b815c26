"""The history of a task: its messages in order, each bound to the one before it (protocol, "Audit Trail").

Every item carries SHA-256 over the previous item's hash and its own exact fields:

    hash = SHA-256( previous_hash_hex LF task_id LF sequence LF name LF sender LF recipient LF
                    recorded_at LF status LF hex(SHA-256(message text)) )

in UTF-8, LF being one line feed; the first item's previous hash is 64 zeros. The message enters by its
own digest, so that its text can be erased later while the chain still verifies.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from app.protocol.states import State
from app.protocol.times import format_time

GENESIS = "0" * 64
ERASED = "null"
"""The text in place of a message (or submission) that was erased; one that is there is an object."""


class MessageName(StrEnum):
    """The protocol's message names (its "Message Flow")."""

    SUBMIT_TASK = "SubmitTask"
    TASK_ACCEPTED = "TaskAccepted"
    TASK_REJECTED = "TaskRejected"
    REQUEST_RESOURCES = "RequestResources"
    RESOURCES_ALLOCATED = "ResourcesAllocated"
    RESOURCES_UNAVAILABLE = "ResourcesUnavailable"
    EXECUTION_STARTED = "ExecutionStarted"
    PROGRESS_UPDATE = "ProgressUpdate"
    ACKNOWLEDGE = "Acknowledge"
    RELEASE_RESOURCES = "ReleaseResources"
    RESOURCES_RELEASED = "ResourcesReleased"
    TASK_COMPLETED = "TaskCompleted"
    TASK_FAILED = "TaskFailed"
    CANCEL_TASK = "CancelTask"


class Party(StrEnum):
    """The protocol's participants."""

    SUBMITTER = "submitter"
    EXECUTOR = "executor"
    RESOURCE_MANAGER = "resource_manager"


_S, _E, _R = Party.SUBMITTER, Party.EXECUTOR, Party.RESOURCE_MANAGER

ROUTES: dict[MessageName, tuple[Party, Party]] = {
    MessageName.SUBMIT_TASK: (_S, _E),
    MessageName.TASK_ACCEPTED: (_E, _S),
    MessageName.TASK_REJECTED: (_E, _S),
    MessageName.REQUEST_RESOURCES: (_E, _R),
    MessageName.RESOURCES_ALLOCATED: (_R, _E),
    MessageName.RESOURCES_UNAVAILABLE: (_R, _E),
    MessageName.EXECUTION_STARTED: (_E, _S),
    MessageName.PROGRESS_UPDATE: (_E, _S),
    MessageName.ACKNOWLEDGE: (_S, _E),
    MessageName.RELEASE_RESOURCES: (_E, _R),
    MessageName.RESOURCES_RELEASED: (_R, _E),
    MessageName.TASK_COMPLETED: (_E, _S),
    MessageName.TASK_FAILED: (_E, _S),
    MessageName.CANCEL_TASK: (_S, _E),
}
"""Who sends each message to whom."""


class Item(NamedTuple):
    """One message of a task's history, as it is stored: `recorded_at` in UTC, `message` exact JSON text.

    Of a message that was erased, `message` is null and its digest, which the hash covers, stands in its place.
    """

    sequence: int
    name: MessageName
    sender: Party
    recipient: Party
    recorded_at: datetime
    status: State
    message: str
    previous_hash: str
    hash: str
    message_digest: str | None = None
    erased_at: datetime | None = None


def digest_of(message: str) -> str:
    """What a hash covers of a message: SHA-256 of its text, in hexadecimal."""
    return sha256(message.encode()).hexdigest()


def chained(  # noqa: PLR0913, PLR0917 - exactly what a hash covers
    previous_hash: str,
    task_id: str,
    sequence: int,
    name: str,
    sender: str,
    recipient: str,
    recorded_at: datetime,
    status: str,
    message_digest: str,
) -> str:
    """The hash of an item with these fields."""
    return sha256(
        f"{previous_hash}\n{task_id}\n{sequence}\n{name}\n{sender}\n{recipient}\n"
        f"{format_time(recorded_at)}\n{status}\n{message_digest}".encode()
    ).hexdigest()


def link(task_id: str, item: Item) -> str:
    """The hash that `item` has to carry; its own `hash` is not looked at."""
    sequence, name, sender, recipient, recorded_at, status, message, previous_hash = item[:8]
    # A digest beside a message that is there says nothing.
    digest = item.message_digest if message == ERASED and item.message_digest else digest_of(message)
    return chained(previous_hash, task_id, sequence, name, sender, recipient, recorded_at, status, digest)


def first_break(task_id: str, items: Iterable[Item]) -> int | None:
    """The sequence of the first altered, missing or reordered item of a history, or None where it is whole.

    A cut tail leaves a shorter chain that is whole; only a head known from elsewhere shows that.
    """
    previous = GENESIS
    for expected, item in enumerate(items, start=1):
        if item.sequence != expected or item.previous_hash != previous or link(task_id, item) != item.hash:
            return expected
        previous = item.hash
    return None
