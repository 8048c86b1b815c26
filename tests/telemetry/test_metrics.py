"""What Prometheus is told, read back by Prometheus's own parser."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.metrics import Metrics, Observation

Read = Callable[..., float | None]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("9.8.7")


def scrape(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return scrape(metrics).get((f"task_executor_{name}", frozenset(labels.items())))


def test_two_services_in_one_process_share_nothing(metrics: Metrics) -> None:
    metrics.submission("accepted", "echo")
    assert value(Metrics("9.8.7"), "submissions_total", outcome="accepted", type="echo") is None


def test_submissions_by_outcome(metrics: Metrics) -> None:
    for outcome, kind in (("accepted", "echo"), ("accepted", "echo"), ("rejected", "")):
        metrics.submission(outcome, kind)
    assert value(metrics, "submissions_total", outcome="accepted", type="echo") == 2
    assert value(metrics, "submissions_total", outcome="rejected", type="") == 1


def test_execution_time_has_an_edge_at_the_protocols_threshold(metrics: Metrics) -> None:
    for seconds in (29.9, 30.1):
        metrics.attempt_ended("sleep", seconds)
    assert value(metrics, "execution_time_seconds_bucket", type="sleep", le="30.0") == 1
    assert value(metrics, "execution_time_seconds_count", type="sleep") == 2


def test_error_ratio_leaves_cancelled_and_rejected_tasks_out(metrics: Metrics) -> None:
    metrics.finished("Completed")
    metrics.finished("Failed", "timed_out")
    metrics.finished("Failed", "cancelled")
    metrics.finished("Rejected", "validation_failed")
    assert value(metrics, "error_ratio") == pytest.approx(1 / 3)
    assert value(metrics, "tasks_finished_total", state="Failed", reason="timed_out") == 1
    assert value(metrics, "tasks_finished_total", state="Rejected", reason="validation_failed") == 1


def test_the_other_counters_and_histograms(metrics: Metrics) -> None:
    metrics.retry("execution_error")
    metrics.lease_rescue(3)
    metrics.journal_commit(40, 0.004)
    metrics.journal_conflict()
    metrics.started(0.02)
    assert value(metrics, "retries_total", reason="execution_error") == 1
    assert value(metrics, "lease_rescues_total") == 3
    assert value(metrics, "journal_batch_size_sum") == 40
    assert value(metrics, "journal_commit_seconds_bucket", le="0.005") == 1
    assert value(metrics, "journal_conflicts_total") == 1
    assert value(metrics, "queue_time_seconds_count") == 1


def test_what_alerts_wait_for_is_there_before_it_happens(metrics: Metrics) -> None:
    assert value(metrics, "tasks_finished_total", state="Completed", reason="") == 0
    assert value(metrics, "tasks_finished_total", state="Failed", reason="executor_lost") == 0
    assert value(metrics, "outcomes_discarded_total", outcome="nothing") == 0
    assert value(metrics, "webhook_seconds_count", outcome="unsigned") == 0


def test_gauges_are_read_at_each_scrape(metrics: Metrics) -> None:
    ages = iter([1.5, 2.5])
    metrics.observe_with(lambda: Observation(queue_age_seconds=next(ages)))
    metrics.observe_with(
        lambda: Observation(
            waiting={"insufficient": 4}, allocated={"cpu": 0.5, "custom.licence": 1}, capacity={"cpu": 2}, running=7
        )
    )
    assert value(metrics, "queue_age_seconds") == 1.5
    seen = scrape(metrics)
    assert seen["task_executor_queue_age_seconds", frozenset()] == 2.5
    assert seen["task_executor_waiting", frozenset({("reason", "insufficient")})] == 4
    assert seen["task_executor_allocated", frozenset({("unit", "custom.licence")})] == 1
    assert seen["task_executor_capacity", frozenset({("unit", "cpu")})] == 2
    assert seen["task_executor_running", frozenset()] == 7


def test_a_broken_observer_takes_no_other_gauge_down(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Observation:
        raise RuntimeError("the pool is closed")

    metrics.observe_with(broken)
    metrics.observe_with(lambda: Observation(running=1))
    assert value(metrics, "running") == 1
    assert "observer" in caplog.text


def test_the_process_and_its_version_are_there_without_the_series_of_creation_times(metrics: Metrics) -> None:
    metrics.submission("accepted", "echo")
    seen = scrape(metrics)
    assert seen["task_executor_build_info", frozenset({("version", "9.8.7")})] == 1
    assert seen["process_open_fds", frozenset()] > 0
    assert not [name for name, _ in seen if name.endswith("_created")]


def test_the_documentation_names_every_metric_and_no_other(metrics: Metrics) -> None:
    metrics.observe_with(
        lambda: Observation(
            queue_age_seconds=1,
            waiting={},
            running=1,
            allocated={},
            capacity={},
            database_connections={},
            dead_rows=0,
            webhooks_pending=0,
            webhook_age_seconds=0,
        )
    )
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \|", page, re.MULTILINE))
    suffix = {"counter": "_total", "info": "_info"}
    ours = {
        family.name + ("" if family.name.endswith(suffix.get(family.type, "")) else suffix[family.type])
        for family in metrics.registry.collect()
        if not family.name.startswith(("process_", "python_"))
    }
    assert documented == ours
