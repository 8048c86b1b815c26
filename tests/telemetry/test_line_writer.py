"""The writer of lines: order, completeness, and what a bad stream does."""

import io
import threading
from collections.abc import Iterator

import pytest

from app.telemetry import line_writer
from app.telemetry.line_writer import LineWriter


class Signalling(io.BytesIO):
    """A stream that says when something was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, data: object) -> int:
        count = super().write(data)  # type: ignore[arg-type]  # bytes, as LineWriter sends them
        if count:
            self.written.set()
        return count


class Broken(io.BytesIO):
    """A stream whose reader has gone."""

    def write(self, _data: object) -> int:
        raise BrokenPipeError


@pytest.fixture
def stream() -> Signalling:
    return Signalling()


@pytest.fixture
def patient(stream: Signalling) -> Iterator[LineWriter]:
    """A writer that would not write by itself within any test."""
    writer = LineWriter(stream, flush_interval_s=3600)
    yield writer
    writer.close()


def test_lines_are_written_without_anybody_asking(stream: Signalling) -> None:
    writer = LineWriter(stream, flush_interval_s=0.01)
    writer.write(b"one\n")
    assert stream.written.wait(30)
    writer.close()
    assert stream.getvalue() == b"one\n"


def test_flush_writes_everything_in_order(patient: LineWriter, stream: Signalling) -> None:
    for number in range(1000):
        patient.write(b"%d\n" % number)
    assert stream.getvalue() == b""
    patient.flush()
    assert stream.getvalue().split() == [b"%d" % number for number in range(1000)]


def test_close_writes_the_rest_and_ends_the_thread(stream: Signalling) -> None:
    writer = LineWriter(stream, flush_interval_s=3600)
    writer.write(b"last\n")
    writer.close()
    assert stream.getvalue() == b"last\n"
    assert not any(thread.name == "log-writer" and thread is writer._thread for thread in threading.enumerate())


def test_lines_of_many_threads_are_neither_lost_nor_mixed(patient: LineWriter, stream: Signalling) -> None:
    def write_many(name: int) -> None:
        for number in range(2000):
            patient.write(b"%d-%d\n" % (name, number))
            if number % 100 == 0:
                patient.flush()

    threads = [threading.Thread(target=write_many, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    patient.flush()
    lines = stream.getvalue().split()
    for name in range(4):
        mine = [line for line in lines if line.startswith(b"%d-" % name)]
        assert mine == [b"%d-%d" % (name, number) for number in range(2000)]


def test_a_queue_that_is_full_is_written_by_who_fills_it(
    patient: LineWriter, stream: Signalling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_writer, "MAX_PENDING_LINES", 10)
    for _ in range(11):
        patient.write(b"line\n")
    assert stream.getvalue() == b"line\n" * 11


def test_a_stream_that_cannot_be_written_stops_nobody() -> None:
    writer = LineWriter(Broken(), flush_interval_s=3600)
    writer.write(b"lost\n")
    writer.flush()
    writer.write(b"lost too\n")
    writer.close()


def test_a_closed_stream_stops_nobody() -> None:
    closed = io.BytesIO()
    closed.close()
    writer = LineWriter(closed, flush_interval_s=3600)
    writer.write(b"lost\n")
    writer.flush()
    writer.close()
