"""Where claims begin: behind what was taken, with whatever is known to wait before that claimed by its place."""

from datetime import UTC, datetime, timedelta

from app.storage.lines import Line, Place, Want, place_of
from app.storage.marks import BEARABLE_S, MARKED, STRAYS, Found, Marks, less

ALICE, BOB = Line(1, "alice", "echo", "{}"), Line(1, "bob", "echo", "{}")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(number: int) -> Place:
    """The place of a task without a deadline."""
    return place_of(None, f"{number:08}")


def due(minutes: int, number: int = 0) -> Place:
    return place_of(NOON + timedelta(minutes=minutes), f"{number:08}")


LATEST = at(10_000_000)


def marks_at(*places: Place, line: Line = ALICE) -> Marks:
    marks = Marks()
    marks.in_force = True
    marks.took(((line, place) for place in places), LATEST)
    return marks


def since(marks: Marks, line: Line = ALICE) -> Place | None:
    return marks.ranges([Want(line, 1)])[0].since


def test_deadlines_come_first_and_then_age() -> None:
    assert sorted([at(1), due(2), due(1, 9), due(1, 3), at(0)]) == [due(1, 3), due(1, 9), due(2), at(0), at(1)]


def test_a_claim_begins_where_the_last_one_ended() -> None:
    marks = marks_at(at(3), at(5), at(4))
    assert since(marks) == at(5)
    assert since(marks, BOB) is None


def test_what_may_be_committed_yet_is_not_passed_by() -> None:
    marks = marks_at(at(3))
    marks.took([(ALICE, at(9)), (BOB, at(9))], latest=at(6))
    assert (since(marks), since(marks, BOB)) == (at(6), at(6))
    marks.took([(ALICE, at(9))], latest=at(2))
    assert since(marks) == at(6), "a mark goes back for nothing else than what waits"


def test_claims_begin_at_the_head_while_sweeps_find_little_to_pass() -> None:
    marks = marks_at(at(5))
    marks.waits(ALICE, at(2))
    marks.judge(BEARABLE_S, 0)
    assert since(marks) is None
    assert marks.strays([Want(ALICE, 1)]) == []
    marks.judge(2 * BEARABLE_S, 1)
    assert since(marks) == at(5)
    assert marks.strays([Want(ALICE, 1)]) == [at(2).task_id]


def test_what_waits_before_the_mark_is_claimed_first_and_given_out_once() -> None:
    marks = marks_at(at(5))
    for place in (at(4), due(7), at(2), at(6)):
        marks.waits(ALICE, place)
    marks.waits(BOB, at(1))
    assert marks.with_strays() == [ALICE]
    assert marks.strays([Want(ALICE, 2), Want(BOB, 2)]) == [due(7).task_id, at(2).task_id]
    assert marks.strays([Want(ALICE, 2)]) == [at(4).task_id]
    assert marks.strays([Want(ALICE, 2)]) == []
    assert since(marks) == at(5), "what was behind the mark is found from there on"


def test_where_much_waits_before_it_the_mark_goes_back() -> None:
    marks = marks_at(at(1_000))
    for number in range(STRAYS + 1):
        marks.waits(ALICE, at(100 + number))
    assert since(marks) == at(100)
    assert marks.strays([Want(ALICE, 5)]) == []


def test_a_sweep_takes_the_marks_forward_and_finds_strays() -> None:
    marks = marks_at(at(5))
    found = [Found([at(1)], at(8)), Found([], at(3))]
    assert marks.swept([(ALICE, at(5)), (BOB, None)], found, LATEST)
    assert (since(marks), since(marks, BOB)) == (at(8), at(3))
    assert marks.with_strays() == [ALICE]
    assert not marks.swept([(ALICE, at(8))], [Found([], at(9))], latest=at(8))
    assert since(marks) == at(8)


def test_a_sweep_changes_no_mark_that_went_back_meanwhile() -> None:
    marks = marks_at(at(5_000))
    for number in range(STRAYS + 1):
        marks.waits(ALICE, at(number))
    marks.swept([(ALICE, at(5_000))], [Found([], at(6_000))], LATEST)
    assert since(marks) == at(0)


def test_a_line_in_which_nothing_waits_is_passed_but_for_its_deadlines() -> None:
    marks = marks_at(at(5))
    marks.took([(BOB, due(3))], LATEST)
    marks.swept([(ALICE, at(5)), (BOB, due(3))], [Found([], None)] * 2, latest=at(7))
    assert (since(marks), since(marks, BOB)) == (at(7), due(3))


def test_lines_that_were_seen_are_swept_too_while_marks_are_in_force() -> None:
    marks, carol = marks_at(at(5)), ALICE._replace(submitter="carol")
    marks.saw([ALICE, BOB])
    assert marks.to_sweep([carol, BOB]) == [(ALICE, at(5)), (BOB, None), (carol, None)]
    assert marks.to_sweep([]) == [(ALICE, at(5))]
    marks.judge(0, 1)
    marks.saw([BOB])
    assert marks.to_sweep([]) == [(ALICE, at(5))]


def test_marks_are_kept_of_the_lines_claimed_last() -> None:
    marks = marks_at(at(1))
    for number in range(MARKED):
        marks.took([(ALICE._replace(submitter=f"s-{number}"), at(1))], LATEST)
    assert len(marks.places()) == MARKED
    assert since(marks) is None


def test_what_was_taken_is_no_longer_wanted() -> None:
    assert less([Want(ALICE, 3), Want(BOB, 1)], [ALICE, BOB]) == [Want(ALICE, 2)]
