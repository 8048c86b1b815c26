"""What is told of a task's life: driven by the life itself, as the journal hands it on."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.protocol.messages import RetryPolicy
from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.telemetry.logging import configure, flush, shutdown
from app.telemetry.metrics import Metrics
from app.telemetry.task_events import TaskObserver

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    stream = io.BytesIO()
    configure("info", stream=stream)

    def read() -> list[dict[str, Any]]:
        flush()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    shutdown()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1")


def new_task(kind: str = "echo") -> Task:
    return Task(
        task_id="019a0000-0000-7000-8000-000000000000",
        message_id="task-123",
        idempotency_key="task-123",
        content_digest=b"",
        submitter="alice",
        type=kind,
        priority=1,
        submission="{}",
        deadline=None,
        labels={},
        requested={"cpu": 1000},
        timeout_s=60,
        retry=RetryPolicy(),
        submitted_at=NOW,
    )


def tell(metrics: Metrics, task: Task) -> None:
    TaskObserver(metrics).committed(task, task.change().items)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"task_executor_{name}", labels)


def test_a_task_that_completes(metrics: Metrics, lines: Lines) -> None:
    task = new_task()
    task.submit(NOW, valid=True)
    task.accept(NOW)
    task.allocate(NOW, "node")
    task.start(NOW + timedelta(milliseconds=20))
    task.report_progress(NOW, 0.5, {"secret": "never logged"})
    task.complete(NOW + timedelta(seconds=1), '{"result": "never logged"}', {})
    tell(metrics, task)
    told = lines()
    assert [(line["event"], line["state"]) for line in told] == [
        ("submission", "Submitted"),
        ("state_change", "Executing"),
        ("completion", "Completed"),
    ]
    for line in told:
        assert (line["task_id"], line["message_id"], line["submitter"]) == (task.task_id, "task-123", "alice")
        assert line["reason"] is None
    assert "never logged" not in json.dumps(told)
    assert value(metrics, "submissions_total", outcome="accepted", type="echo") == 1
    assert value(metrics, "tasks_finished_total", state="Completed", reason="") == 1
    assert value(metrics, "queue_time_seconds_sum") == pytest.approx(0.02)


def test_a_retry_and_the_failure_after_it(metrics: Metrics, lines: Lines) -> None:
    task = new_task()
    task.submit(NOW, valid=True)
    task.accept(NOW)
    for attempt in (1, 2):
        task.allocate(NOW, "node")
        task.start(NOW)
        if attempt == 1:
            task.retry_later(NOW, NOW, Reason.TIMED_OUT, {"kind": "timed_out", "message": ""}, {})
            tell(metrics, task)
            task.request_resources(NOW)
    task.fail(NOW, Reason.EXECUTION_ERROR, {"kind": "Boom", "message": "never logged"})
    tell(metrics, task)
    states = [(line["event"], line["state"], line["reason"]) for line in lines()]
    assert states[-3:] == [
        ("state_change", "Waiting", None),
        ("state_change", "Executing", None),
        ("completion", "Failed", "execution_error"),
    ]
    assert value(metrics, "retries_total", reason="timed_out") == 1
    assert value(metrics, "tasks_finished_total", state="Failed", reason="execution_error") == 1
    assert value(metrics, "queue_time_seconds_count") == 1, "the second attempt did not wait in the queue anew"


def test_rejections_under_invented_names_share_one_series(metrics: Metrics, lines: Lines) -> None:
    for number in range(50):
        task = new_task(kind=f"invented-{number}")
        task.submit(NOW, valid=False)
        task.reject(NOW, {"kind": "validation_failed", "message": ""})
        tell(metrics, task)
    assert value(metrics, "submissions_total", outcome="rejected", type="") == 50
    assert b"invented" not in metrics.render()
    assert {line["event"] for line in lines()} == {"submission", "completion"}
