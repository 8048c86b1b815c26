"""`.venv/bin/python -m tests.benchmarks.start`: the processor time of one start, for each way to start.

The figures stand in docs/performance.md. Each is the least of five: the machine is shared, and the least disturbed
start says most. The service has a database of its own, as `make run` has; it is started once before it is measured.
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import psutil

from tests.support.machine import free_port

PROGRAM = (sys.executable, "-m", "app")
ROUNDS = 5
NOBODY = "http://127.0.0.1:9"
CLIENT = ("--help", "token", f"status id --url {NOBODY}", "submit --help")


class Life(NamedTuple):
    """Of a service: processor seconds until ready, and in all with the children that it waited for; and the seconds
    from the wish to end until its end."""

    ready_s: float
    all_s: float
    end_s: float


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TASK_EXECUTOR_DATA_DIR": folder, "TASK_EXECUTOR_PORT": str(free_port())}
        environment.pop("DATABASE_URL", None)
        lives = [_serve(environment) for _ in range(ROUNDS + 1)][1:]
        figures = {f"task-executor {words}": _least(words, environment) for words in CLIENT}
    figures["task-executor serve, until ready"] = min(life.ready_s for life in lives)
    figures["the same until its end, with its children"] = min(life.all_s for life in lives)
    figures["from SIGTERM to its end, by the clock"] = min(life.end_s for life in lives)
    sys.stdout.write("".join(f"{seconds:6.2f} s  {what}\n" for what, seconds in figures.items()))


def _least(words: str, environment: dict[str, str]) -> float:
    return min(_processor_s(words, environment) for _ in range(ROUNDS))


def _processor_s(words: str, environment: dict[str, str]) -> float:
    before = _of_children()
    subprocess.run([*PROGRAM, *words.split()], env=environment, capture_output=True, check=False)
    return _of_children() - before


def _serve(environment: dict[str, str]) -> Life:
    before = _of_children()
    with subprocess.Popen(
        [*PROGRAM, "serve"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdout is not None
        while b"is ready" not in run.stdout.readline():
            assert run.poll() is None, "the service ended at once"
        used = psutil.Process(run.pid).cpu_times()
        begin = time.perf_counter()
        run.send_signal(signal.SIGTERM)
        run.wait()
        end_s = time.perf_counter() - begin
    return Life(used.user + used.system, _of_children() - before, end_s)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
