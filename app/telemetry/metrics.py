"""Metrics for Prometheus (protocol, "Metrics Collection").

The protocol's three are `task_executor_submissions_total` (submission_rate), `task_executor_execution_time_seconds`
(execution_time) and `task_executor_error_ratio` (error_rate). All names, labels and meanings: docs/monitoring.md.
Labels never hold what a client chooses freely, so the number of series is bounded.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from time import monotonic

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.protocol.reasons import Reason
from app.telemetry.error_ratio import ErrorRatio
from app.telemetry.http_metrics import HttpMetrics

log = logging.getLogger(__name__)

PREFIX = "task_executor"
EXECUTION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 3600)
"""With an edge at 30 s, the protocol's threshold."""
QUEUE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 1800, 7200)
COMMIT_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
WEBHOOK_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1, 5, 10)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


@dataclass(frozen=True, slots=True)
class Observation:
    """What is true at this moment, read when Prometheus asks. None: another observer knows it, or nobody.

    `queue_age_seconds`: how long the oldest task that has not started has waited. `waiting`: tasks that wait, by
    `details.waiting.reason`. `running`: attempts that run on this node. `allocated`, `capacity`: units (cpu,
    memory_mb, gpu, custom.licence) of this node. `database_connections`: open connections, by "used" or "free".
    `dead_rows`: former versions of tasks that no vacuum has removed.
    `webhooks_pending`, `webhook_age_seconds`: deliveries with a message to send, and how long the oldest has waited.
    """

    queue_age_seconds: float | None = None
    waiting: Mapping[str, int] | None = None
    running: int | None = None
    allocated: Mapping[str, float] | None = None
    capacity: Mapping[str, float] | None = None
    database_connections: Mapping[str, int] | None = None
    dead_rows: int | None = None
    webhooks_pending: int | None = None
    webhook_age_seconds: float | None = None


Observer = Callable[[], Observation]


class Metrics:
    """All metrics of one service, in a registry of their own. Its methods cost about a microsecond each."""

    def __init__(self, version: str) -> None:
        # Twice the series for the times at which each began, which Prometheus works out by itself.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library has no annotation here
        self.registry = CollectorRegistry()
        self.http = HttpMetrics(self.registry)
        self._errors = ErrorRatio()
        self._observers: list[Observer] = []
        self._define_task_metrics()
        self._define_journal_metrics()
        # The library looks labels up under a lock; there are few of them, so what was found is remembered.
        self._submissions_of = cache(self._submissions.labels)
        self._finished_of = cache(self._finished.labels)
        self._execution_time_of = cache(self._execution_time.labels)
        self._begin_at_zero()
        Info(f"{PREFIX}_build", "The version that runs.", registry=self.registry).info({"version": version})
        self.registry.register(_Observed(self._observers, self._errors))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def _define_task_metrics(self) -> None:
        self._submissions = Counter(
            f"{PREFIX}_submissions",
            "Task messages received, by what became of them.",
            ["outcome", "type"],
            registry=self.registry,
        )
        self._finished = Counter(
            f"{PREFIX}_tasks_finished",
            "Tasks that reached a terminal state, by state and reason.",
            ["state", "reason"],
            registry=self.registry,
        )
        self._execution_time = Histogram(
            f"{PREFIX}_execution_time_seconds",
            "How long one attempt ran, from its start to its outcome.",
            ["type"],
            buckets=EXECUTION_BUCKETS_S,
            registry=self.registry,
        )
        self._queue_time = Histogram(
            f"{PREFIX}_queue_time_seconds",
            "From a task's submission to the start of its first attempt.",
            buckets=QUEUE_BUCKETS_S,
            registry=self.registry,
        )
        self._retries = Counter(
            f"{PREFIX}_retries",
            "Attempts that failed and were put off for another.",
            ["reason"],
            registry=self.registry,
        )
        self._rescues = Counter(
            f"{PREFIX}_lease_rescues",
            "Tasks taken over because their node's lease had expired.",
            registry=self.registry,
        )

        self._discarded = Counter(
            f"{PREFIX}_outcomes_discarded",
            "Outcomes of attempts that came after the lease was lost.",
            ["outcome"],
            registry=self.registry,
        )

    def _define_journal_metrics(self) -> None:
        self._batch_size = Histogram(
            f"{PREFIX}_journal_batch_size",
            "Changes written in one commit.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self._commit_time = Histogram(
            f"{PREFIX}_journal_commit_seconds",
            "How long one commit of the journal took.",
            buckets=COMMIT_BUCKETS_S,
            registry=self.registry,
        )
        self._webhooks = Histogram(
            f"{PREFIX}_webhook_seconds",
            "How long attempts at webhooks took, by outcome.",
            ["outcome"],
            buckets=WEBHOOK_BUCKETS_S,
            registry=self.registry,
        )
        self._conflicts = Counter(
            f"{PREFIX}_journal_conflicts",
            "Changes refused because the task's version no longer matched (lease lost, or overtaken).",
            registry=self.registry,
        )

    def _begin_at_zero(self) -> None:
        """What an alert waits for is there from the start.

        To Prometheus, a counter that appears with its first event has not grown: the alert would miss that one.
        """
        self._finished_of("Completed", "")
        for reason in Reason:
            self._finished_of("Rejected" if reason is Reason.VALIDATION_FAILED else "Failed", str(reason))
        for outcome in ("succeeded", "failed", "stopped", "nothing"):
            self._discarded.labels(outcome)
        self._webhooks.labels("unsigned")

    def submission(self, outcome: str, kind: str = "") -> None:
        """One task message, which is kept as a task: "accepted" or "rejected".

        `kind` is the task type where it is one of this service's own, never a name that only the client knows.
        """
        self._submissions_of(outcome, kind).inc()

    def attempt_ended(self, kind: str, seconds: float) -> None:
        """One attempt of this kind of task came to its outcome after so many seconds."""
        self._execution_time_of(kind).observe(seconds)

    def started(self, seconds_since_submission: float) -> None:
        """A task's first attempt starts."""
        self._queue_time.observe(seconds_since_submission)

    def finished(self, state: str, reason: str = "") -> None:
        """One task reached a terminal state. A cancel and a rejection are no errors of the service."""
        self._finished_of(state, reason).inc()
        if state != "Rejected":
            self._errors.count(monotonic(), is_error=state == "Failed" and reason != "cancelled")

    def retry(self, reason: str) -> None:
        """An attempt failed and another is due."""
        self._retries.labels(reason).inc()

    def lease_rescue(self, tasks: int = 1) -> None:
        """So many tasks were taken over from nodes that stopped extending their leases."""
        self._rescues.inc(tasks)

    def outcome_discarded(self, outcome: str) -> None:
        """An attempt came to this outcome ("succeeded", "failed", "stopped", "nothing") after its lease was lost."""
        self._discarded.labels(outcome).inc()

    def journal_commit(self, changes: int, seconds: float) -> None:
        """The journal wrote so many changes in one commit."""
        self._batch_size.observe(changes)
        self._commit_time.observe(seconds)

    def journal_conflict(self, changes: int = 1) -> None:
        """So many changes were refused by the fence."""
        self._conflicts.inc(changes)

    def webhook_attempt(self, outcome: str, seconds: float) -> None:
        """One attempt at a webhook took so long; `outcome` is a class of status, or one of few words."""
        self._webhooks.labels(outcome).observe(seconds)

    def observe_with(self, observer: Observer) -> None:
        """Calls `observer` at each scrape, in the thread of `render`: it must answer at once, from memory.

        Several observers may each know a part; a member is to be given by one of them only.
        """
        self._observers.append(observer)

    def render(self) -> bytes:
        """Everything in the Prometheus text format; its media type is `prometheus_client.CONTENT_TYPE_LATEST`."""
        return generate_latest(self.registry)


class _Observed(Collector):
    """The gauges, made anew at each scrape."""

    def __init__(self, observers: list[Observer], errors: ErrorRatio) -> None:
        self._observers = observers
        self._errors = errors

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: the registry would otherwise call the observers when this collector is registered."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The error ratio and what every observer answers; one that fails is logged and left out."""
        yield GaugeMetricFamily(
            f"{PREFIX}_error_ratio",
            "Share of the tasks finished in the last five minutes that failed, cancelled ones aside.",
            self._errors.ratio(monotonic()),
        )
        for observer in self._observers:
            try:
                observation = observer()
            except Exception:
                log.exception("an observer of the metrics failed: its gauges are missing from this scrape")
                continue
            yield from _gauges(observation)


def _gauges(observation: Observation) -> Iterator[GaugeMetricFamily]:
    yield from _plain("queue_age_seconds", "Age of the oldest task not started.", observation.queue_age_seconds)
    yield from _plain("running", "Attempts that run on this node.", observation.running)
    yield from _plain("dead_rows", "Former versions of tasks that no vacuum removes.", observation.dead_rows)
    yield from _plain("webhooks_pending", "Deliveries with a message to send.", observation.webhooks_pending)
    yield from _plain("webhook_age_seconds", "Wait of the oldest of these.", observation.webhook_age_seconds)
    yield from _labelled("waiting", "Tasks that wait, by reason.", "reason", observation.waiting)
    yield from _labelled("allocated", "Resources held by running tasks.", "unit", observation.allocated)
    yield from _labelled("capacity", "Resources that this node has in all.", "unit", observation.capacity)
    yield from _labelled("database_connections", "Connections in the pool.", "state", observation.database_connections)


def _plain(name: str, documentation: str, value: float | None) -> Iterator[GaugeMetricFamily]:
    if value is not None:
        yield GaugeMetricFamily(f"{PREFIX}_{name}", documentation, value)


def _labelled(
    name: str, documentation: str, label: str, values: Mapping[str, float] | None
) -> Iterator[GaugeMetricFamily]:
    if values is not None:
        family = GaugeMetricFamily(f"{PREFIX}_{name}", documentation, labels=[label])
        for label_value, value in values.items():
            family.add_metric([label_value], value)
        yield family
