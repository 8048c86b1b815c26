"""The files of signed heads: a list of entries and then the line `head JWS`, again and again; a file a day (UTC).

Files are only appended to, and a head counts when it stands there whole: what a crash has left behind the last head
is cut off when the next one is written.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from app.protocol.audit_heads import Entry, Listing

MARK = b"head "
MAX_LINE_BYTES = 4096

Result = TypeVar("Result")


class Unwritable(Exception):
    """The directory cannot be written or read, or its disk is full; the message names it."""


def files_in(directory: Path) -> list[Path]:
    """All files of heads, the oldest first. Raises OSError."""
    return sorted(each for each in directory.iterdir() if each.name.startswith("heads-") and each.suffix == ".txt")


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, each with its line feed; one that is too long comes in pieces. Raises OSError."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            yield line


def head_in(line: bytes) -> bytes | None:
    """The signed head that a line holds whole, or None."""
    return line[len(MARK) : -1] if line.startswith(MARK) and line.endswith(b"\n") else None


class HeadFiles:
    """One directory, and its one writer. Modes are 0700 and 0600."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path: Path | None = None
        self._end = 0

    async def last(self) -> bytes | None:
        """The last signed head, looked for in the files from the newest on. Raises Unwritable."""
        return await self._in_thread(self._last)

    async def append(
        self, until: datetime, batches: AsyncIterator[Sequence[Entry]], sign: Callable[[Listing], bytes]
    ) -> bytes:
        """Writes a list and its head to the disk, and returns the head. Raises Unwritable; then there is none."""
        descriptor = await self._in_thread(self._open, f"heads-{until:%Y-%m-%d}.txt")
        try:
            listing = Listing()
            async for batch in batches:
                lines = b"".join([entry.line() for entry in batch])
                listing.add(lines, len(batch))
                await self._in_thread(_write, descriptor, lines)
            signed = await self._in_thread(sign, listing)
            await self._in_thread(_write, descriptor, MARK + signed + b"\n")
            await self._in_thread(os.fsync, descriptor)
            self._end = os.lseek(descriptor, 0, os.SEEK_CUR)
        except BaseException:
            # A disk that is full gets its room back; the rest is cut off the next time in any case.
            os.ftruncate(descriptor, self._end)
            raise
        finally:
            os.close(descriptor)
        return signed

    async def _in_thread(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Who is cancelled waits for the disk all the same: a descriptor in use must not be closed."""
        running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
        except OSError as error:
            raise Unwritable(f"{self.directory}: {error.strerror}") from error

    def _last(self) -> bytes | None:
        self._path = None
        for path in reversed(files_in(self.directory) if self.directory.is_dir() else []):
            self._end, signed = _scan(path)
            self._path = path
            if signed is not None:
                return signed
        return None

    def _open(self, name: str) -> int:
        """The file to append to, open behind its last head."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        newest = files_in(self.directory)[-1:]
        # A clock that was put back must not put heads before others.
        path = max([self.directory / name, *newest])
        fresh = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if path != self._path or os.fstat(descriptor).st_size < self._end:
                self._path, (self._end, _) = path, _scan(path)
            os.ftruncate(descriptor, self._end)
            os.lseek(descriptor, self._end, os.SEEK_SET)
            if fresh:
                _sync_directory(self.directory)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _scan(path: Path) -> tuple[int, bytes | None]:
    """Where the last head of a file ends, and that head."""
    position, end, found = 0, 0, None
    for line in lines_of(path):
        position += len(line)
        signed = head_in(line)
        if signed is not None:
            end, found = position, signed
    return end, found


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
