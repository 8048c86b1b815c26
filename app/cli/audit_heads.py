"""Comparing signed heads of the audit trail with the database: streamed, whatever the length of their lists."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from app.protocol.audit_heads import Entry, Head, Listing, entry_of
from app.security.head_signing import NotAHead, read_head
from app.security.keys import VerificationKey
from app.storage.database import Database
from app.storage.head_files import files_in, head_in, lines_of
from app.storage.trail import Checker, Deviation

BATCH = 1000


@dataclass(slots=True)
class Compared:
    """What was looked at. `problems` are of the files; `deviations`, by task, of the database: each task's first.

    `unsigned` lines stand behind the last head of all.
    """

    heads: int = 0
    entries: int = 0
    first: int = 0
    last: int = 0
    until: datetime | None = None
    unsigned: int = 0
    problems: list[str] = field(default_factory=list)
    deviations: dict[str, Deviation] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)


async def compare(database: Database, directory: Path, keys: Sequence[VerificationKey]) -> Compared:
    """Checks every head in the directory and everything that they name. Raises OSError, StorageUnavailable."""
    compared = Compared()
    async with Checker(database) as checker:
        reading = _Reading(compared, checker, keys)
        for path in files_in(directory):
            reading.end_file()
            await reading.read(path)
    compared.unsigned = reading.listing.tasks
    return compared


class _Reading:
    def __init__(self, compared: Compared, checker: Checker, keys: Iterable[VerificationKey]) -> None:
        self._compared = compared
        self._checker = checker
        self._keys = list(keys)
        self._former: Head | None = None
        self._signed = b""
        self._place = ""
        self._begin()

    def _begin(self) -> None:
        """A new list. What is found in it counts when its head has shown that the list is the one that was signed."""
        self.listing = Listing()
        self._batch: list[Entry] = []
        self._found: list[Deviation] = []

    async def read(self, path: Path) -> None:
        """One file after the other, in order."""
        for number, line in enumerate(lines_of(path), start=1):
            self._place = f"{path.name} line {number}"
            signed = head_in(line)
            if signed is not None:
                await self._take_head(signed)
            else:
                await self._take_line(line)

    def end_file(self) -> None:
        """Behind the last head of a file that is not the last one nothing can stand."""
        if self.listing.tasks:
            self._problem(
                f"{self.listing.tasks} lines at the end of the file are not signed: its last heads are missing"
            )
            self._begin()

    async def _take_line(self, line: bytes) -> None:
        self.listing.add(line)
        try:
            self._batch.append(entry_of(line))
        except ValueError:
            # The digest tells on it.
            return
        if len(self._batch) == BATCH:
            await self._check()

    async def _check(self) -> None:
        self._found += await self._checker.deviations(self._batch)
        self._batch = []

    async def _take_head(self, signed: bytes) -> None:
        await self._check()
        try:
            head = read_head(signed, self._keys)
        except NotAHead as error:
            self._problem(f"not a head of this service: {error}")
        else:
            self._judge(head)
            self._former, self._signed = head, signed
        self._begin()

    def _judge(self, head: Head) -> None:
        compared = self._compared
        # The oldest files may have been removed, as their owner likes; from then on it is a chain.
        if self._former is not None and not head.follows(self._former, self._signed):
            self._problem(f"head {head.number} does not follow the one before it: heads are missing or were moved")
        if not head.covers(self.listing):
            self._problem(f"the list of head {head.number} is not the one that was signed")
        else:
            self._count()
        compared.first = compared.first or head.number
        compared.last, compared.until = head.number, head.until
        compared.heads += 1

    def _count(self) -> None:
        self._compared.entries += self.listing.tasks
        for found in self._found:
            if found.dropped:
                self._compared.dropped.add(found.task_id)
            else:
                self._compared.deviations.setdefault(found.task_id, found)

    def _problem(self, what: str) -> None:
        self._compared.problems.append(f"{self._place}: {what}")
