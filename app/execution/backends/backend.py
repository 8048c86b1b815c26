"""The seam behind which handlers run.

A backend's obligations:

- `run` takes one attempt from its start to its outcome and never raises for what a handler does. Whatever a
  handler does (raises, exits, is killed, hangs, allocates without end), only its own attempt is affected.
- It stops the attempt when `attempt.stop` is set: at once for TIMED_OUT and DEADLINE_EXCEEDED, for CANCELLED
  after telling the handler and giving it `cancel_grace_s`. It then answers `Stopped`.
  When `run` has returned, nothing of the attempt runs any more.
- It calls `attempt.on_progress` in the service's event loop, in the order of the handler's calls.
- The result is JSON text of at most `max_result_bytes`; a larger one is `Failed(RESULT_TOO_LARGE)`.
- `close` ends what it holds (children); attempts still running are stopped, with EXECUTOR_LOST.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from app.protocol.reasons import Reason
from app.protocol.resources import Resources
from app.task_types.definition import TaskType


class StopSignal:
    """Tells a running attempt to stop, once, and why. The first reason stays.

    A callback and no event to wait for: an attempt that nobody stops, as nearly all are, then pays nothing for it.
    """

    __slots__ = ("_listener", "reason")

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self._listener: Callable[[Reason], None] | None = None

    def set(self, reason: Reason) -> None:
        """Asks the attempt to stop. Later calls change nothing. To be called in the service's event loop."""
        if self.reason is None:
            self.reason = reason
            if self._listener is not None:
                self._listener(reason)

    def listen(self, listener: Callable[[Reason], None]) -> None:
        """For the backend: calls the listener once there is a reason, which may be now."""
        self._listener = listener
        if self.reason is not None:
            listener(self.reason)

    def ignore(self) -> None:
        """For the backend: the attempt is over."""
        self._listener = None


@dataclass(slots=True)
class Attempt:
    """One attempt at one task: all that a backend needs to know.

    `deadline` is when the runner will set `stop` (for the handler's own planning); the backend keeps no clock.
    `gpu_ids` names the devices behind `allocation.gpu`, where the Resource Manager knows them. Of a `confidential`
    attempt, whose parameters came encrypted, nothing that its handler says goes to the log.
    """

    task_id: str
    message_id: str
    number: int
    kind: TaskType
    parameters: dict[str, Any]
    allocation: Resources
    deadline: datetime | None
    on_progress: Callable[[float, dict[str, Any]], None]
    stop: StopSignal = field(default_factory=StopSignal)
    gpu_ids: tuple[str, ...] = ()
    confidential: bool = False


Usage = dict[str, float]
"""What an attempt used: "cpu_s" (seconds) and "peak_memory_mb" (MiB), where the backend can measure them."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The handler returned; `result_json` is JSON text."""

    result_json: str
    used: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed by itself.

    `error` is what the submitter is shown: {"kind": ..., "message": ...} and, for a child that died, the
    evidence ("signal", "exit_code", "peak_memory_mb"). `permanent` forbids another attempt,
    `retry_after_s` is how many seconds it is to wait at least.
    """

    reason: Reason
    error: dict[str, Any]
    permanent: bool
    used: Usage
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt was stopped because `attempt.stop` was set."""

    reason: Reason
    used: Usage


Outcome = Succeeded | Failed | Stopped


class Backend(Protocol):
    """See the module's docstring for the obligations."""

    async def start(self) -> None:
        """Makes ready; warm children are started here."""

    async def run(self, attempt: Attempt) -> Outcome:
        """One attempt from its start to its outcome."""

    async def close(self) -> None:
        """Ends everything that the backend holds."""
