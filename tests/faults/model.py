"""What a submitter may expect of its tasks, by what it sent and was told: the model of the state machine's test."""

from dataclasses import dataclass, field
from typing import Any, Literal

Ending = Literal["Completed", "execution_error", "timed_out", "deadline_exceeded", "cancelled", "Rejected"]

OVER = frozenset({"Completed", "Failed", "Rejected"})

# From where to where a task may have gone between two looks.
LATER: dict[str, frozenset[str]] = {
    "ResourceAllocation": frozenset({"ResourceAllocation", "Waiting", "Executing", "Completing"}) | OVER - {"Rejected"},
    "Waiting": frozenset({"ResourceAllocation", "Waiting", "Executing", "Completing"}) | OVER - {"Rejected"},
    "Executing": frozenset({"ResourceAllocation", "Waiting", "Executing", "Completing"}) | OVER - {"Rejected"},
    "Completing": frozenset({"Completing", "Completed", "Failed"}),
    "Completed": frozenset({"Completed"}),
    "Failed": frozenset({"Failed"}),
    "Rejected": frozenset({"Rejected"}),
}


@dataclass(frozen=True)
class Order:
    """A kind of work, and how it can end when nobody interferes; None where it goes on until somebody does."""

    specification: dict[str, Any]
    ending: Ending | None
    attempts: int = 1
    deadline_s: float | None = None


ORDERS: dict[str, Order] = {
    "good": Order({"type": "echo", "parameters": {"word": "hello"}}, "Completed"),
    "refused": Order({"type": "refuse"}, "execution_error"),
    "retried": Order(
        {
            "type": "sum_up",
            "parameters": {"numbers": [1, 2], "fail_before": 2},
            "retry": {"max_attempts": 20, "initial_s": 0.05, "max_s": 0.1},
        },
        "Completed",
        attempts=2,
    ),
    "slow": Order(
        {
            "type": "sleep",
            "parameters": {"seconds": 600},
            "timeout_s": 0.2,
            "retry": {"max_attempts": 2, "initial_s": 0.05, "max_s": 0.1},
        },
        "timed_out",
        attempts=2,
    ),
    "late": Order({"type": "sleep", "parameters": {"seconds": 600}}, "deadline_exceeded", deadline_s=1.5),
    "endless": Order({"type": "sleep", "parameters": {"seconds": 600}, "retry": {"max_attempts": 20}}, None),
    "bad": Order({"type": "echo", "nonsense": 1}, "Rejected"),
}
"""Everything that the machine submits, by name."""


@dataclass
class Expected:
    """One task as its submitter knows it. `sequence` and `status` are the last that it was told."""

    message: dict[str, Any]
    order: Order
    task_id: str
    status: str = "ResourceAllocation"
    sequence: int = 0
    cancelled: bool = False
    killed: bool = False
    acknowledged: int = 0
    retries: set[str] = field(default_factory=set)

    def see(self, status: dict[str, Any]) -> None:
        """Another look at it: nothing may have gone backwards."""
        body, details = status["body"], status["body"]["details"]
        assert details["task_id"] == self.task_id
        assert body["status"] in LATER[self.status], f"{self.task_id} went from {self.status} to {body['status']}"
        assert details["sequence"] >= self.sequence, f"{self.task_id} lost messages"
        assert details["acknowledged"] <= self.acknowledged, "acknowledged by nobody"
        self.status, self.sequence = body["status"], details["sequence"]
        if self.status in OVER:
            self._see_end(details)

    def _see_end(self, details: dict[str, Any]) -> None:
        ending = self.status if details["reason"] is None or self.status == "Rejected" else details["reason"]
        allowed = {self.order.ending} | ({"cancelled"} if self.cancelled else set())
        # What a kill broke off counts as an attempt, and may have been the last one.
        allowed |= {"executor_lost"} if self.killed else set()
        assert ending in allowed, f"{self.task_id} ended as {ending}, and should have as one of {allowed}"
        if ending == self.order.ending and not self.killed and ending not in {"Rejected", "deadline_exceeded"}:
            assert details["attempt"] == self.order.attempts
