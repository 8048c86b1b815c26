"""Heads of the audit trail: what had been recorded at a time, to be kept where nobody who can change it can reach.

A head covers a list with a line for each task whose history has grown, naming the last message of it:

    task_id SP sequence SP hash LF

in UTF-8. It says how many lines there are and SHA-256 over them as they stand, and SHA-256 of the signed head before
it (64 zeros for the first), so that the heads are a chain as well. A history that was cut short, replaced or removed
later no longer has what a line names.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from app.protocol.times import format_time, parse_time

_LINE = re.compile(rb"([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}) ([1-9][0-9]{0,8}) ([0-9a-f]{64})\n")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Entry(NamedTuple):
    """The last message of a task's history when the head was made: its sequence and its hash."""

    task_id: str
    sequence: int
    hash: str

    def line(self) -> bytes:
        """As it stands in the list."""
        return f"{self.task_id} {self.sequence} {self.hash}\n".encode()


def entry_of(line: bytes) -> Entry:
    """The entry of a line of a list. Raises ValueError where it is none."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("not a line of a list")
    return Entry(found[1].decode(), int(found[2]), found[3].decode())


class Listing:
    """A list as it goes by: how many lines it has, and their digest."""

    def __init__(self) -> None:
        self._digest = sha256()
        self.tasks = 0

    def add(self, lines: bytes, count: int = 1) -> None:
        """Takes so many lines more."""
        self._digest.update(lines)
        self.tasks += count

    def digest(self) -> str:
        """SHA-256 of all lines, in hexadecimal."""
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Head:
    """What is signed. Heads are numbered from 1; `until` is when this one was made, by the database's clock.

    Listed is every task that has had a message since `since`, or, where that is None, every task there is.
    """

    number: int
    previous: str
    since: datetime | None
    until: datetime
    tasks: int
    digest: str

    def claims(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "number": self.number,
            "previous": self.previous,
            "since": None if self.since is None else format_time(self.since),
            "until": format_time(self.until),
            "tasks": self.tasks,
            "digest": self.digest,
        }

    def follows(self, former: "Head", signed: bytes) -> bool:
        """Whether it is the next one after `former`, whose signed form is `signed`."""
        return (self.number, self.previous) == (former.number + 1, sha256(signed).hexdigest())

    def covers(self, listing: Listing) -> bool:
        """Whether this is the list that was signed."""
        return (self.tasks, self.digest) == (listing.tasks, listing.digest())


def head_of(claims: dict[str, Any]) -> Head:
    """The head that JSON describes. Raises ValueError where it describes none."""
    number, tasks = claims.get("number"), claims.get("tasks")
    texts = [claims.get(name) for name in ("previous", "digest")]
    if type(number) is not int or type(tasks) is not int or number < 1 or tasks < 0:
        raise ValueError("no head: number and tasks are whole numbers")
    if not all(isinstance(text, str) and _DIGEST.fullmatch(text) for text in texts):
        raise ValueError("no head: previous and digest are SHA-256 in hexadecimal")
    since = claims.get("since")
    return Head(
        number,
        claims["previous"],
        None if since is None else parse_time(since),
        parse_time(claims.get("until")),
        tasks,
        claims["digest"],
    )
