"""The child's end of the channel, with a service that does not read."""

import json
import socket
from collections.abc import Iterator

import pytest

from app.execution.backends.channel import BURST_UPDATES, Cancellation, Channel, ProgressSender
from app.execution.backends.frames import Cancel, FrameReader, Hello, encode


class Ends:
    """Both ends of a channel."""

    def __init__(self) -> None:
        ours, self.service = socket.socketpair()
        self.service.settimeout(10)
        self.connection = ours
        self.channel = Channel(ours)
        self._reader = FrameReader(1 << 20)

    def updates(self, until: float) -> list[float]:
        """The fractions that arrive, until one is `until`."""
        found: list[float] = []
        while until not in found:
            frames = self._reader.feed(self.service.recv(65_536))
            found += [json.loads(header)["fraction"] for header, _ in frames]
        return found


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.service.close()
    made.connection.close()


def test_frames_wait_for_each_other(ends: Ends) -> None:
    hello = Hello(modules=["a"], environment={}, max_result_bytes=1)
    ends.service.sendall(encode(hello) + encode(Cancel()))
    assert ends.channel.receive() == hello
    assert ends.channel.receive() == Cancel()
    ends.service.close()
    assert ends.channel.receive() is None


def test_a_cancellation_is_seen_without_a_thread(ends: Ends) -> None:
    cancellation = Cancellation(ends.channel)
    assert not cancellation.is_set()
    assert not cancellation.wait(0)
    ends.service.sendall(encode(Cancel()))
    assert cancellation.wait(10)
    assert cancellation.is_set()
    assert cancellation.is_set()


def test_a_service_that_is_gone_is_no_cancellation(ends: Ends) -> None:
    ends.service.close()
    assert not Cancellation(ends.channel).is_set()


def test_a_few_updates_go_at_once_and_the_last_is_never_lost(ends: Ends) -> None:
    sender = ProgressSender(ends.channel)
    for call in range(1, 101):
        sender.report(call / 100, {})
    sender.finish()
    fractions = ends.updates(until=1.0)
    assert fractions[:BURST_UPDATES] == [call / 100 for call in range(1, BURST_UPDATES + 1)]
    assert fractions == sorted(fractions)
    sender.report(0.5, {})
    sender.finish()
    ends.service.setblocking(False)
    with pytest.raises(BlockingIOError):
        ends.service.recv(1)


def test_what_is_held_back_is_sent_when_it_is_due(ends: Ends) -> None:
    sender = ProgressSender(ends.channel)
    for call in range(1, 51):
        sender.report(call / 50, {})
    assert ends.updates(until=1.0)[-1] == 1.0
    sender.finish()


def test_a_service_that_does_not_read_does_not_hold_up_the_handler(ends: Ends) -> None:
    taken = 0
    frame = b"x" * 10_000
    while ends.channel.try_send(frame):
        taken += 1
    # Refused rather than waited for, and what was taken arrives whole.
    assert taken > 0
    assert not ends.channel.try_send(frame)
    received = 0
    ends.service.setblocking(False)
    while received < taken * len(frame):
        try:
            received += len(ends.service.recv(1 << 20))
        except BlockingIOError:
            assert ends.channel.try_send(b"")
    assert received == taken * len(frame)
