"""Log lines to a stream, in order, without a system call for each.

A busy node writes some 24,000 lines a second (4,000 tasks, six lines each); one write call a line would cost
more than making the line, and a pipe whose reader is slow would hold up the event loop. Lines are therefore
put on a queue, and a thread writes what has gathered as one block, a fifth of a second later at the latest.
"""

import threading
from collections import deque
from typing import BinaryIO

FLUSH_INTERVAL_S = 0.2
MAX_PENDING_LINES = 20_000
"""Beyond this the writer of a line writes the block itself: a slow reader slows the service down, and memory
stays bounded, but no line is dropped."""


class LineWriter:
    """Writes whole lines to one stream; any thread may call it. `close` when done: the rest is written then."""

    def __init__(self, stream: BinaryIO, flush_interval_s: float = FLUSH_INTERVAL_S) -> None:
        self._stream = stream
        self._flush_interval_s = flush_interval_s
        self._lines: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._pending = threading.Event()
        self._closing = threading.Event()
        # A daemon, so that an exit without `close` is not held up; atexit flushes (see logging.configure).
        self._thread = threading.Thread(target=self._write_behind, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Takes a line, its line feed included, and returns before it is written."""
        self._lines.append(line)
        if not self._pending.is_set():  # half as dear as setting what is set
            self._pending.set()
        if len(self._lines) > MAX_PENDING_LINES:
            self.flush()

    def flush(self) -> None:
        """Returns when every line taken so far is with the operating system.

        A stream that cannot be written (closed, disk full, reader gone) loses its lines and is not tried again
        for them: there is nowhere left to say so, and the service goes on.
        """
        with self._writing:
            # The queue's own operations are atomic, so a line that comes meanwhile is kept for the next block.
            block = b"".join([self._lines.popleft() for _ in range(len(self._lines))])
            try:
                self._stream.write(block)
                self._stream.flush()
            except (OSError, ValueError):
                return

    def close(self) -> None:
        """Writes what is left and ends the thread. The stream stays open; lines that come later are not written."""
        self._closing.set()
        self._pending.set()
        self._thread.join()

    def _write_behind(self) -> None:
        while not self._closing.is_set():
            self._pending.wait()
            self._closing.wait(self._flush_interval_s)
            self._pending.clear()
            self.flush()
