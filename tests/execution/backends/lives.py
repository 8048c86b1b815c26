"""Whether processes are still there."""

import os
import select
from collections.abc import Iterable
from pathlib import Path


def alive(pids: Iterable[int]) -> list[int]:
    """Those that still run; a zombie does not."""
    return [pid for pid in pids if state(pid) not in ("Z", "X", None)]


def state(pid: int) -> str | None:
    """The state letter of a process, or None where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


class Watched:
    """Processes held by descriptors, which their ends make readable: no reuse of a number can mislead."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._descriptors = {pid: os.pidfd_open(pid) for pid in pids}

    def survivors(self, within_s: float = 10.0) -> list[int]:
        """Those that have not ended by then; returns as soon as all have."""
        poll = select.poll()
        left = dict(self._descriptors)
        for descriptor in left.values():
            poll.register(descriptor, select.POLLIN)
        ended = True
        while left and ended:
            ended = bool(events := poll.poll(within_s * 1000))
            for descriptor, _ in events:
                poll.unregister(descriptor)
                left = {pid: held for pid, held in left.items() if held != descriptor}
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        return list(left)
