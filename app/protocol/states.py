"""The nine states of a task and the moves between them (protocol, "States & Transitions").

One table, read by the code, by the CHECK constraint of the database, by the diagram in the docs and
by a test over all 81 pairs. The protocol draws no exit from Waiting; the moves out of Waiting,
ResourceAllocation -> Failed, Executing -> Waiting and Completing -> Failed complete it.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a task stands. How it ended is its Reason."""

    SUBMITTED = "Submitted"
    VALIDATING = "Validating"
    REJECTED = "Rejected"
    RESOURCE_ALLOCATION = "ResourceAllocation"
    WAITING = "Waiting"
    EXECUTING = "Executing"
    COMPLETING = "Completing"
    COMPLETED = "Completed"
    FAILED = "Failed"

    @property
    def terminal(self) -> bool:
        """No move leads out of this state."""
        return self in TERMINAL


TRANSITIONS: dict[State, frozenset[State]] = {
    State.SUBMITTED: frozenset({State.VALIDATING}),
    State.VALIDATING: frozenset({State.RESOURCE_ALLOCATION, State.REJECTED}),
    State.REJECTED: frozenset(),
    State.RESOURCE_ALLOCATION: frozenset({State.EXECUTING, State.WAITING, State.FAILED}),
    State.WAITING: frozenset({State.RESOURCE_ALLOCATION, State.FAILED}),
    State.EXECUTING: frozenset({State.COMPLETING, State.WAITING, State.FAILED}),
    State.COMPLETING: frozenset({State.COMPLETED, State.FAILED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
}

TERMINAL = frozenset(state for state, targets in TRANSITIONS.items() if not targets)
"""Rejected, Completed, Failed."""

QUEUED = frozenset({State.RESOURCE_ALLOCATION, State.WAITING})
"""Accepted and not started: what a dispatcher may claim."""


class IllegalTransition(Exception):
    """A move that the table does not have. Always a defect of this service, never of a client."""

    def __init__(self, source: State, target: State) -> None:
        super().__init__(f"a task cannot go from {source} to {target}")
        self.source = source
        self.target = target


def check_transition(source: State, target: State) -> None:
    """Raises IllegalTransition unless the table allows the move."""
    if target not in TRANSITIONS[source]:
        raise IllegalTransition(source, target)
