"""Going round the lines: each is found, however many there are, and however many one submitter has."""

from collections import Counter

import pytest

from app.resources.ring import REMEMBERED, Ring
from app.storage.lines import LINES_OF_ONE, Line, Seen, Want
from tests.resources.backlog import Backlog


def backlog_of(*lines: Line) -> Backlog:
    backlog = Backlog()
    for number, line in enumerate(lines):
        backlog.put(line, f"task-{number}")
    return backlog


def line(number: int, priority: int = 1, submitter: str | None = None) -> Line:
    return Line(priority, submitter or f"submitter-{number}", "job", f'{{"cpu":{number}}}')


def look(ring: Ring, backlog: Backlog) -> None:
    walks = ring.walks()
    ring.saw(walks, backlog.look(*walks))


def go_round(ring: Ring, backlog: Backlog) -> None:
    for _ in range(100):
        look(ring, backlog)
        if ring.whole:
            return
    pytest.fail("it does not come to an end")


def test_nothing_waits() -> None:
    ring = Ring()
    assert not ring.empty, "nobody has looked"
    look(ring, Backlog())
    assert ring.empty


@pytest.mark.parametrize("count", [1, 30, 95, 96, 97, 200])
def test_all_lines_of_all_priorities_are_found(count: int) -> None:
    lines = [line(number, priority) for number in range(count) for priority in (1, 5)][: REMEMBERED - 1]
    ring = Ring()
    go_round(ring, backlog_of(*lines))
    assert set(ring.lines) == set(lines)


def test_a_submitter_with_many_lines_is_passed_by_and_all_of_them_are_found() -> None:
    many, other = [line(number, submitter="many") for number in range(100)], line(0, submitter="other")
    backlog, ring = backlog_of(*many, other), Ring()
    look(ring, backlog)
    assert other in set(ring.lines)
    assert len(set(ring.lines)) <= 2 * LINES_OF_ONE + 1
    go_round(ring, backlog)
    assert set(ring.lines) == {*many, other}


def test_what_is_told_is_known_at_once() -> None:
    ring = Ring()
    look(ring, Backlog())
    assert ring.learn(line(7))
    assert not ring.learn(line(7))
    assert not ring.empty
    assert ring.whole, "nothing else is to be looked for"


def test_the_ring_is_looked_at_again_when_something_may_have_come() -> None:
    ring, backlog = Ring(), backlog_of(line(1))
    go_round(ring, backlog)
    backlog.put(line(2), "late")
    ring.look_again()
    assert not ring.whole
    go_round(ring, backlog)
    assert set(ring.lines) == {line(1), line(2)}


def test_lines_that_were_served_last_come_last_and_exhausted_ones_go() -> None:
    ring = Ring()
    ring.saw(ring.walks(), Seen([line(1), line(2), line(3)], [], [], []))
    ring.served(line(1), exhausted=False)
    ring.served(line(2), exhausted=True)
    assert list(ring.lines) == [line(3), line(1)]


@pytest.mark.parametrize("blocked", [0, 300])
def test_more_lines_than_can_be_remembered_are_served_in_turn(blocked: int) -> None:
    """Each about as often as any other; those that cannot be served are in nobody's way."""
    lines = [line(number) for number in range(1_000)]
    hopeless = set(lines[:blocked])
    backlog = backlog_of(*lines)
    ring, served = Ring(), Counter[Line]()
    for _ in range(200):
        if not ring.whole:
            look(ring, backlog)
        wanted = [each for each in ring.lines if each not in hopeless][:50]
        for want in [Want(each, 1) for each in wanted]:
            served[want.line] += 1
            ring.served(want.line, exhausted=False)
        ring.forget_idle([each for each in ring.lines if each in hopeless])
        assert len(list(ring.lines)) <= REMEMBERED + 128
    assert set(served) == set(lines) - hopeless
    assert max(served.values()) - min(served.values()) <= max(served.values()) / 2
