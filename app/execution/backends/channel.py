"""The child's end of its channel to the service, and what a handler reaches through it: cancellation and progress."""

import os
import select
import socket
import threading
import time
from collections import deque
from typing import Any

from app.execution.backends.frames import (
    Cancel,
    FrameReader,
    Hello,
    Start,
    encode_progress,
    to_child,
)
from app.execution.backends.outcomes import progress_details

MAX_FRAME_BYTES = 1 << 30
"""The service is trusted; this only bounds what a broken stream could ask for."""

UPDATES_PER_S = 50
BURST_UPDATES = 10
_READ_BYTES = 262_144


class Channel:
    """Blocking reads between attempts, and reads and writes that never block while a handler runs."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._received: deque[Hello | Start | Cancel] = deque()
        self._unsent = bytearray()
        self._lock = threading.Lock()

    def receive(self) -> Hello | Start | Cancel | None:
        """The next frame, waited for; None when the service has closed the channel."""
        while not self._received:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                return None
            self._take(data)
        return self._received.popleft()

    def cancelled(self) -> bool:
        """A Cancel has come. To be asked while an attempt runs: nothing else is sent to it then."""
        with self._lock:
            if not self._received:
                try:
                    self._take(self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT))
                except OSError:
                    return False
            return any(isinstance(frame, Cancel) for frame in self._received)

    def wait_readable(self, timeout_s: float | None) -> None:
        """Waits until something has come, or so many seconds."""
        select.select([self._socket], [], [], timeout_s)

    def send(self, frame: bytes) -> None:
        """Sends what is left over and a frame, however long the service takes to read them."""
        with self._lock:
            self._socket.sendall(bytes(self._unsent) + frame)
            self._unsent.clear()

    def try_send(self, frame: bytes) -> bool:
        """Sends a frame unless the service is behind with reading; False where it was not taken."""
        with self._lock:
            if self._flush():
                self._unsent += frame
                self._flush()
                return True
            return False

    def _flush(self) -> bool:
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent, socket.MSG_DONTWAIT)
            except OSError:
                return False
            del self._unsent[:sent]
        return True

    def _take(self, data: bytes) -> None:
        self._received.extend(to_child.validate_json(header) for header, _ in self._reader.feed(data))


class Cancellation(threading.Event):
    """A context's cancellation: looks into the channel when it is asked, so that no thread has to listen."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def is_set(self) -> bool:
        """The attempt was cancelled."""
        if not super().is_set() and self._channel.cancelled():
            self.set()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the cancellation, at most `timeout` seconds; whether it has come."""
        if not self.is_set():
            self._channel.wait_readable(timeout)
        return self.is_set()


class ProgressSender:
    """Sends a handler's progress, thinned to UPDATES_PER_S after a burst; the last call is always sent.

    A call that comes too soon is held back, replaced by later ones, and sent when it is due, by a timer that exists
    only meanwhile, or by `finish`. A million calls thus cost the service fifty frames a second.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._held: bytes | None = None
        self._timer: threading.Timer | None = None
        self._free_at = time.monotonic() - BURST_UPDATES / UPDATES_PER_S
        self._finished = False

    def report(self, fraction: float, details: dict[str, Any]) -> None:
        """One progress call. Raises ValueError for unusable details, RuntimeError in a forked process."""
        if os.getpid() != self._process:
            raise RuntimeError("progress can be reported by the attempt's own process only, not by one it forked")
        text = progress_details(details)
        with self._lock:
            if not self._finished:
                self._held = encode_progress(fraction, text)
                self._send_when_due()

    def finish(self) -> None:
        """Sends what is held back; later calls, from threads left behind, change nothing."""
        with self._lock:
            self._finished = True
            timer, held = self._timer, self._held
            self._timer = self._held = None
        if timer is not None:
            timer.cancel()
            timer.join()
        if held is not None:
            self._channel.send(held)

    def _send_when_due(self) -> None:
        now = time.monotonic()
        # A bucket of BURST_UPDATES, told by the time at which the next update would be due if all came evenly.
        if now >= self._free_at and self._held is not None and self._channel.try_send(self._held):
            self._held = None
            self._free_at = max(self._free_at, now - BURST_UPDATES / UPDATES_PER_S) + 1 / UPDATES_PER_S
        elif self._timer is None:
            self._start_timer(max(1 / UPDATES_PER_S, self._free_at - now))

    def _start_timer(self, delay_s: float) -> None:
        timer = threading.Timer(delay_s, self._due)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # no memory left for a thread: the next call, or finish, sends it
            return
        self._timer = timer

    def _due(self) -> None:
        with self._lock:
            self._timer = None
            if self._held is not None and not self._finished:
                self._send_when_due()
