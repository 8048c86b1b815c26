"""Files of heads: whole on the disk or not there, whatever happens while they are written."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.protocol.audit_heads import Entry, Listing
from app.storage.head_files import HeadFiles, Unwritable, files_in

MOMENT = datetime(2026, 11, 26, 10, tzinfo=UTC)
ENTRY = Entry("01890000-0000-7000-8000-000000000000", 12, "ab" * 32)


async def batches(*counts: int) -> AsyncIterator[list[Entry]]:
    for count in counts:
        yield [ENTRY] * count


def named(name: str) -> Callable[[Listing], bytes]:
    return lambda listing: f"{name}.{listing.tasks}".encode()


async def test_a_file_a_day_for_its_owner_only(tmp_path: Path) -> None:
    files = HeadFiles(tmp_path / "audit")
    assert await files.last() is None
    assert await files.append(MOMENT, batches(2, 1), named("first")) == b"first.3"
    await files.append(MOMENT, batches(), named("second"))
    await files.append(MOMENT + timedelta(days=1), batches(1), named("third"))
    today, tomorrow = files_in(tmp_path / "audit")
    assert today.read_bytes() == ENTRY.line() * 3 + b"head first.3\nhead second.0\n"
    assert tomorrow.read_bytes() == ENTRY.line() + b"head third.1\n"
    assert [each.stat().st_mode & 0o777 for each in (today.parent, today, tomorrow)] == [0o700, 0o600, 0o600]
    assert await HeadFiles(tmp_path / "audit").last() == b"third.1"


async def test_what_a_crash_left_is_cut_off(tmp_path: Path) -> None:
    files = HeadFiles(tmp_path)
    await files.append(MOMENT, batches(1), named("first"))
    (path,) = files_in(tmp_path)
    whole = path.read_bytes()
    for torn in (ENTRY.line() * 3, ENTRY.line() + b"head sec", b"\0" * 10_000):
        path.write_bytes(whole + torn)
        restarted = HeadFiles(tmp_path)
        assert await restarted.last() == b"first.1"
        await restarted.append(MOMENT, batches(), named("second"))
        assert path.read_bytes() == whole + b"head second.0\n"


async def test_an_empty_file_of_today_hides_no_head_of_yesterday(tmp_path: Path) -> None:
    await HeadFiles(tmp_path).append(MOMENT, batches(1), named("first"))
    (tmp_path / "heads-2026-11-27.txt").write_bytes(ENTRY.line())
    restarted = HeadFiles(tmp_path)
    assert await restarted.last() == b"first.1"
    await restarted.append(MOMENT + timedelta(days=1), batches(), named("second"))
    assert files_in(tmp_path)[1].read_bytes() == b"head second.0\n"


async def test_a_clock_put_back_puts_no_head_before_others(tmp_path: Path) -> None:
    files = HeadFiles(tmp_path)
    await files.append(MOMENT, batches(), named("first"))
    await files.append(MOMENT - timedelta(days=1), batches(), named("second"))
    (path,) = files_in(tmp_path)
    assert path.read_bytes() == b"head first.0\nhead second.0\n"


async def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = HeadFiles(tmp_path)
    await files.append(MOMENT, batches(1), named("first"))
    (path,) = files_in(tmp_path)
    whole, write, room = path.read_bytes(), os.write, [1]

    def full(descriptor: int, content: memoryview) -> int:
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room.pop()
        return write(descriptor, content[:100])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Unwritable, match=rf"{tmp_path}: No space left"):
        await files.append(MOMENT, batches(2), named("second"))
    assert path.read_bytes() == whole
    monkeypatch.undo()
    await files.append(MOMENT, batches(), named("third"))
    assert path.read_bytes() == whole + b"head third.0\n"


async def test_who_is_cancelled_leaves_what_was_there(tmp_path: Path) -> None:
    files, begun = HeadFiles(tmp_path), asyncio.Event()
    await files.append(MOMENT, batches(1), named("first"))

    async def endless() -> AsyncIterator[list[Entry]]:
        while True:
            yield [ENTRY]
            begun.set()

    writing = asyncio.create_task(files.append(MOMENT, endless(), named("second")))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert files_in(tmp_path)[0].read_bytes() == ENTRY.line() + b"head first.1\n"


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(Unwritable, match="taken"):
        await HeadFiles(tmp_path / "taken" / "audit").append(MOMENT, batches(), named("first"))
