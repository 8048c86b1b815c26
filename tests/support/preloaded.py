"""Starts the program in processes that are forked from one which has loaded it already.

Each is a process as any other: a session, an environment and a life of its own, ended by any signal. Spared is what
reading the program's modules costs, half a second of processor time a start, which most of a test run would go to.
Python's own environment (PYTHONPATH and the like) is that of the loaded process.

The process takes orders as lines of JSON on its stdin and answers each with a line on its stdout: to start, and how a
process that it started is. It ends with its stdin, and
what it has started ends with it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.execution.backends.kernel import signalled_when_parent_dies

ROOT = Path(__file__).parents[2]
POLL_S = 0.01
_loaded: "_Loaded | None" = None


class Forked:
    """A process that was started so, with the part of subprocess.Popen that tests use."""

    def __init__(self, loaded: "_Loaded", pid: int) -> None:
        self._loaded = loaded
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        if self.returncode is None:
            self.returncode = self._loaded.ask({"status of": self.pid})["status"]
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end, `timeout` seconds at most. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(["task-executor"], timeout or 0.0)
            time.sleep(POLL_S)
        return status

    def send_signal(self, number: signal.Signals | int) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills it."""
        self.send_signal(signal.SIGKILL)


def start(arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> Forked:
    """Starts `task-executor` with these arguments, both of its outputs appended to a file."""
    global _loaded  # noqa: PLW0603 - one for each test process, made when the first is asked for
    if _loaded is None:
        _loaded = _Loaded()
    order = {"arguments": list(arguments), "environment": dict(environment), "output": str(output)}
    return Forked(_loaded, _loaded.ask(order)["pid"])


def close() -> None:
    """Ends the loaded process, if there is one, and with it what it has started."""
    global _loaded  # noqa: PLW0603 - as above
    if _loaded is not None:
        _loaded.close()
        _loaded = None


class _Loaded:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.preloaded"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            return answer

    def close(self) -> None:
        self._process.communicate()


def _take_orders() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        answer = {"status": _status_of(order["status of"])} if "status of" in order else {"pid": _fork(order)}
        sys.stdout.write(json.dumps(answer) + "\n")


def _status_of(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _fork(order: Mapping[str, Any]) -> int:
    parent = os.getpid()
    if pid := os.fork():
        return pid
    try:
        os.setsid()
        # A test run that is killed leaves no service behind.
        signalled_when_parent_dies(signal.SIGKILL, parent)
        os.environ.clear()
        os.environ.update(order["environment"])
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for standard, opened in ((0, nothing), (1, output), (2, output)):
            os.dup2(opened, standard)
        os.closerange(3, max(output, nothing) + 1)
        _run(order["arguments"])
    finally:
        # Never back into the loop that takes orders.
        os._exit(1)


def _run(arguments: list[str]) -> None:
    from app.cli import main  # noqa: PLC0415 - loaded by now

    try:
        main(arguments)
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    import gc

    import app.cli.connection
    import app.cli.serve
    import app.main  # noqa: F401 - all that a service needs

    assert threading.active_count() == 1, "a fork would lose the other threads"
    gc.freeze()
    _take_orders()
