from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from app.protocol.audit_heads import Entry, Head, Listing, entry_of, head_of
from app.protocol.history import GENESIS

ENTRY = Entry("01890000-0000-7000-8000-000000000000", 12, "ab" * 32)
LINE = b"01890000-0000-7000-8000-000000000000 12 " + b"ab" * 32 + b"\n"
HEAD = Head(1, GENESIS, None, datetime(2026, 11, 26, 10, tzinfo=UTC), 1, sha256(LINE).hexdigest())


def test_a_line_there_and_back() -> None:
    assert ENTRY.line() == LINE
    assert entry_of(LINE) == ENTRY


@pytest.mark.parametrize(
    "line",
    [
        b"",
        LINE[:-1],
        LINE + b"\n",
        LINE.upper(),
        LINE.replace(b" 12 ", b" 012 "),
        LINE.replace(b" 12 ", b" 0 "),
        LINE.replace(b" 12 ", b" 9999999999 "),
        LINE.replace(b" 12 ", b" -1 "),
        b"head " + LINE,
    ],
)
def test_what_is_no_line(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a line"):
        entry_of(line)


def test_a_head_covers_its_list_and_no_other() -> None:
    listing = Listing()
    listing.add(LINE)
    assert HEAD.covers(listing)
    assert not replace(HEAD, tasks=2).covers(listing)
    listing.add(LINE)
    assert not HEAD.covers(listing)


def test_a_list_in_pieces_is_the_same_list() -> None:
    one, other = Listing(), Listing()
    one.add(LINE)
    one.add(LINE)
    other.add(LINE + LINE, 2)
    assert (one.digest(), one.tasks) == (other.digest(), other.tasks) == (sha256(LINE * 2).hexdigest(), 2)


def test_heads_are_a_chain() -> None:
    following = replace(HEAD, number=2, previous=sha256(b"signed").hexdigest())
    assert following.follows(HEAD, b"signed")
    assert not following.follows(HEAD, b"signed otherwise")
    assert not replace(following, number=3).follows(HEAD, b"signed")


@pytest.mark.parametrize("since", [None, datetime(2026, 11, 26, 9, 59, tzinfo=UTC)])
def test_as_json_there_and_back(since: datetime | None) -> None:
    head = replace(HEAD, since=since)
    assert head_of(head.claims()) == head


@pytest.mark.parametrize(
    "change",
    [
        {"number": 0},
        {"number": "1"},
        {"number": True},
        {"tasks": -1},
        {"previous": "x"},
        {"digest": None},
        {"digest": "AB" * 32},
        {"since": 1},
        {"until": None},
        {"until": "yesterday"},
    ],
)
def test_what_describes_no_head(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        head_of({**HEAD.claims(), **change})
