"""What the service and a child say to each other: frames of a length and JSON.

A frame is four bytes of length (big-endian), a header that is one line of JSON, and, where there is a result, a
line feed and the result's own JSON text. A child may run anything, so the service takes from it only what
these models describe, up to a length; nothing is unpickled.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from app.protocol.reasons import Reason
from app.protocol.resources import Resources
from app.task_types.definition import MAX_RETRY_AFTER_S

HEADER_BYTES = 65_536
"""What the service allows a child's header; progress details and errors are capped well below."""

_LENGTH_BYTES = 4

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FrameError(Exception):
    """A child sent something that is no frame."""


class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hello(_Frame):
    """To a child, first: the modules that define task types, and the environment that its handlers see."""

    type: Literal["hello"] = "hello"
    modules: list[str]
    environment: dict[str, str]
    max_result_bytes: int


class Start(_Frame):
    """To a child: run this attempt. `cpus` are the CPUs it may use; None means all."""

    type: Literal["start"] = "start"
    name: str
    module: str
    parameters: dict[str, Any]
    task_id: str
    message_id: str
    number: int
    deadline: datetime | None
    allocation: Resources
    cpus: list[int] | None


class Cancel(_Frame):
    """To a child: the running attempt is to stop."""

    type: Literal["cancel"] = "cancel"


class Resting(_Frame):
    """What a child holds between attempts: resident and private memory (MiB), CPU seconds used so far."""

    rss_mb: Amount
    private_mb: Amount
    cpu_s: Amount


class Ready(_Frame):
    """From a child: its modules are imported."""

    type: Literal["ready"] = "ready"
    resting: Resting


class Progress(_Frame):
    """From a child: a progress call of the handler."""

    type: Literal["progress"] = "progress"
    fraction: float = Field(ge=0, le=1)
    details: dict[str, Any]


class Ended(_Frame):
    """From a child: the attempt is over. Without an `error` the result follows the header.

    `clean` is False where the handler left processes or threads behind, or damaged the child.
    """

    type: Literal["ended"] = "ended"
    reason: Literal[Reason.EXECUTION_ERROR, Reason.RESULT_TOO_LARGE] = Reason.EXECUTION_ERROR
    error: dict[str, str] | None = None
    permanent: bool = False
    retry_after_s: float = Field(default=0, ge=0, le=MAX_RETRY_AFTER_S)
    trace: str | None = None
    cpu_s: Amount
    peak_memory_mb: Amount
    clean: bool
    resting: Resting


ToChild = Annotated[Hello | Start | Cancel, Field(discriminator="type")]
FromChild = Annotated[Ready | Progress | Ended, Field(discriminator="type")]

to_child: TypeAdapter[Hello | Start | Cancel] = TypeAdapter(ToChild)
from_child: TypeAdapter[Ready | Progress | Ended] = TypeAdapter(FromChild)


def encode(header: BaseModel, body: bytes | None = None) -> bytes:
    """The bytes of one frame."""
    return encode_raw(header.__pydantic_serializer__.to_json(header), body)


def encode_progress(fraction: float, details_json: bytes) -> bytes:
    """The bytes of a Progress frame whose details are JSON already."""
    return encode_raw(b'{"type":"progress","fraction":%s,"details":%s}' % (to_json(fraction), details_json))


def encode_raw(header: bytes, body: bytes | None = None) -> bytes:
    """The bytes of a frame with this header, which holds no line feed."""
    payload = header if body is None else b"%s\n%s" % (header, body)
    return len(payload).to_bytes(_LENGTH_BYTES, "big") + payload


class FrameReader:
    """Cuts a stream of bytes into frames of at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Header and body of each frame that is complete. Raises FrameError for one that is too long."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(buffer[:_LENGTH_BYTES], "big")
            if length > self._max_bytes:
                raise FrameError(f"a frame of {length} bytes; at most {self._max_bytes} are taken")
            end = _LENGTH_BYTES + length
            if len(buffer) < end:
                return
            header, _, body = bytes(buffer[_LENGTH_BYTES:end]).partition(b"\n")
            del buffer[:end]
            yield header, body
