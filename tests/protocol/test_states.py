"""The nine states and the moves between them: every pair, against a picture drawn here by hand."""

import itertools

import pytest

from app.protocol.states import QUEUED, TERMINAL, TRANSITIONS, IllegalTransition, State, check_transition

# Rows are from, columns are to, in the order of NAMES; the protocol's arrows are P, those that complete them are +.
NAMES = [
    "Submitted",
    "Validating",
    "Rejected",
    "ResourceAllocation",
    "Waiting",
    "Executing",
    "Completing",
    "Completed",
    "Failed",
]
PICTURE = """
. P . . . . . . .
. . P P . . . . .
. . . . . . . . .
. . . . P P . . +
. . . + . . . . +
. . . . + . P . P
. . . . . . . P +
. . . . . . . . .
. . . . . . . . .
"""
ROWS = [line.split() for line in PICTURE.strip().splitlines()]
LEGAL = {
    (NAMES[row], NAMES[column]) for row, column in itertools.product(range(9), range(9)) if ROWS[row][column] != "."
}


def test_the_names_are_the_protocols() -> None:
    assert [str(state) for state in State] == NAMES


@pytest.mark.parametrize(("source", "target"), list(itertools.product(State, State)))
def test_every_pair(source: State, target: State) -> None:
    if (source, target) in LEGAL:
        check_transition(source, target)
    else:
        with pytest.raises(IllegalTransition, match=f"cannot go from {source} to {target}") as caught:
            check_transition(source, target)
        assert (caught.value.source, caught.value.target) == (source, target)


def test_ends_and_beginnings() -> None:
    assert {"Rejected", "Completed", "Failed"} == TERMINAL == {state for state in State if state.terminal}
    assert {"ResourceAllocation", "Waiting"} == QUEUED
    assert set(TRANSITIONS) == set(State), "the table is complete"


def test_every_state_can_be_reached_and_left_for_an_end() -> None:
    def reachable(state: State) -> set[State]:
        found, new = {state}, [state]
        while new:
            fresh = TRANSITIONS[new.pop()] - found
            found |= fresh
            new += fresh
        return found

    assert reachable(State.SUBMITTED) == set(State)
    assert all(reachable(state) & TERMINAL for state in State)
