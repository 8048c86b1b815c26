"""What a log line and a metric cost: `python -m tests.telemetry.measure` prints microseconds a call."""

import logging
import time
import timeit
from collections.abc import Callable
from pathlib import Path

from app.telemetry.logging import EventType, configure, shutdown, task_event
from app.telemetry.metrics import Metrics

CALLS = 100_000


def microseconds(call: Callable[[], object], calls: int = CALLS) -> float:
    """Processor time of all threads (the writing included), the best of three runs: other programs do not count."""
    return min(timeit.repeat(call, number=calls, repeat=3, timer=time.process_time)) / calls * 1e6


def line() -> None:
    task_event(
        EventType.STATE_CHANGE,
        task_id="019a0000-0000-7000-8000-000000000000",
        message_id="task-123",
        type="echo",
        submitter="alice",
        state="Executing",
        attempt=1,
        reason=None,
    )


def main() -> None:
    """Prints a line for each."""
    logger = logging.getLogger("app.measure")
    metrics = Metrics("0")
    meter = metrics.http.meter("POST", "/v1/tasks")
    with Path("/dev/null").open("wb", buffering=0) as nowhere:
        configure("info", json=True, stream=nowhere)
        results = {
            "a line of a task": microseconds(line),
            "a line of Python's logging": microseconds(lambda: logger.info("%s is late", "it"), CALLS // 10),
        }
        shutdown()
    results |= {
        "a request at an HttpMeter": microseconds(lambda: meter.observe(202, 0.004)),
        "a submission": microseconds(lambda: metrics.submission("accepted", "echo")),
        "a finished task": microseconds(lambda: metrics.finished("Completed")),
        "a commit": microseconds(lambda: metrics.journal_commit(40, 0.002)),
    }
    for name, cost in results.items():
        print(f"{name:30} {cost:6.2f} us")  # noqa: T201 - a program that prints


if __name__ == "__main__":
    main()
