"""What handlers share in a child, put back as it was after each attempt."""

import os
import signal
import sys
from pathlib import Path


class Surroundings:
    """The output streams, environment, working directory and timers of a child."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._directory = Path.cwd()
        self._output = os.dup(1)
        self._open_streams()

    def restore(self) -> bool:
        """Puts everything back.

        False where the child is not fit for another attempt: a process still runs, or something cannot be put back.
        """
        try:
            self._restore_output()
            signal.setitimer(signal.ITIMER_REAL, 0)
            if os.environ != self._environment:
                os.environ.clear()
                os.environ.update(self._environment)
            os.chdir(self._directory)
        except (OSError, ValueError):
            return False
        return not _processes_left()

    def _open_streams(self) -> None:
        # A character that cannot be encoded must not fail a handler: escaped, it still says what it was.
        self._streams = tuple(
            os.fdopen(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False) for fd in (1, 2)
        )
        sys.stdout, sys.stderr = self._streams

    def _restore_output(self) -> None:
        for fd in (1, 2):
            os.dup2(self._output, fd)
        if any(stream.closed for stream in self._streams):
            self._open_streams()
        for stream in self._streams:
            stream.flush()
        sys.stdout, sys.stderr = self._streams


def _processes_left() -> bool:
    """Reaps what has ended; True where a descendant still runs."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
