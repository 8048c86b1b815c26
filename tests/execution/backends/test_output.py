"""Lines of output in the log."""

import asyncio
import logging
import os
from typing import cast

import pytest

from app.execution.backends.output import MAX_BYTES, MAX_LINE_BYTES, OutputLog


class Transport:
    """What an OutputLog asks of its transport."""

    def __init__(self) -> None:
        self.reading = True
        self.resumed = asyncio.Event()
        self.closed = False

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.resumed.set()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Pipe:
    """An OutputLog on a real pipe that holds what was written, and a transport that reads nothing of it by itself."""

    def __init__(self) -> None:
        reader, self.writer = os.pipe()
        os.set_blocking(reader, False)
        self.file = os.fdopen(reader, "rb", buffering=0)
        self.log = OutputLog(self.file)
        self.transport = Transport()
        self.log.connection_made(cast("asyncio.ReadTransport", self.transport))
        self.log.begin("task-1", 1)

    def close(self) -> None:
        self.file.close()
        os.close(self.writer)


@pytest.fixture
def pipe(caplog: pytest.LogCaptureFixture) -> "Pipe":
    caplog.set_level(logging.INFO)
    return Pipe()


def test_lines_are_put_together_again(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    for data in (b"one\ntw", b"o\n\n  \nthr\xff", b"ee"):
        pipe.log.data_received(data)
    assert caplog.messages == ["one", "two"]
    os.write(pipe.writer, b" more\nlast")
    pipe.log.finish()
    assert caplog.messages == ["one", "two", "thr\ufffdee more", "last"]
    pipe.log.begin("task-2", 5)
    pipe.log.data_received(b"next\n")
    assert [(vars(line)["task_id"], vars(line)["attempt"]) for line in caplog.records][-2:] == [
        ("task-1", 1),
        ("task-2", 5),
    ]
    pipe.log.close()
    assert pipe.transport.closed
    pipe.close()


def test_a_line_without_end_is_cut(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    pipe.log.data_received(b"x" * (MAX_LINE_BYTES + 1))
    pipe.log.data_received(b"y\n")
    assert caplog.messages == ["x" * MAX_LINE_BYTES, "y"]
    pipe.close()


async def test_beyond_its_bounds_output_is_dropped_and_read_slowly(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    pipe.log.data_received(b"x" * MAX_BYTES)
    assert caplog.messages[0] == "x" * MAX_LINE_BYTES
    assert "further output is dropped" in caplog.messages[1]
    pipe.log.data_received(b"more\n")
    assert not pipe.transport.reading
    await pipe.transport.resumed.wait()
    assert len(caplog.messages) == 2
    pipe.log.begin("task-2", 1)
    pipe.log.data_received(b"next\n")
    assert caplog.messages[-1] == "next"
    pipe.close()
