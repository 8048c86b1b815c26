"""Why a task waits: `details.waiting` on the wire."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.protocol.resources import Amounts, to_wire
from app.protocol.times import format_time
from app.resources.estimate import Estimate

HOLDERS_NAMED = 10
"""How many of the tasks that hold what is missing are named, those expected to end first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands. `position` counts from 1.

    `held_by` names the submitter's own tasks only: which others there are is not for it to know, but how many.
    """

    missing: Amounts
    never: bool = False
    position: int | None = None
    held_by: list[str] = field(default_factory=list)
    held_by_others: int = 0
    start: Estimate | None = None

    @property
    def reason(self) -> str:
        """`capacity`: more than the node has. `insufficient`: held by others. `queued`: free, but others come first."""
        if self.never:
            return "capacity"
        return "insufficient" if self.missing else "queued"


def explain(standing: Standing) -> dict[str, Any]:
    """The standing as the submitter is shown it."""
    return {
        "reason": standing.reason,
        "missing": to_wire(standing.missing),
        "position": standing.position,
        "held_by": standing.held_by[:HOLDERS_NAMED],
        "held_by_others": standing.held_by_others,
        **shown_start(standing.start),
    }


def shown_start(start: Estimate | None) -> dict[str, Any]:
    """An expected start as it is shown; null where it is not known."""
    return {
        "expected_start": None if start is None else _time(start.expected),
        "expected_start_range": None if start is None else [_time(start.earliest), _time(start.latest)],
    }


def _time(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(seconds, UTC))
