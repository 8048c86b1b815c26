"""One pair of metrics for HTTP, fed two ways.

Ordinary routes are measured by prometheus-fastapi-instrumentator (app/api/metrics.py), which matches the route
once more and looks labels up on every request: 60-70 microseconds. The hot routes pass by that middleware and
have an `HttpMeter`, whose labels are looked up once: 1.3 microseconds.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""With edges at 100 and 500 ms, the protocol's target and longest latency, and at 60 s, the longest `Prefer: wait`."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
"""A client may send any word as its method; each would be a series of its own."""


class HttpMeter:
    """Counts and times the requests of one method and handler."""

    def __init__(self, requests: Counter, durations: Histogram, method: str, handler: str) -> None:
        self._requests = requests
        self._labels = (method, handler)
        self._observe_duration = durations.labels(method, handler).observe
        self._count_by_status: dict[int, Callable[[], None]] = {}

    def observe(self, status: int, seconds: float) -> None:
        """One request was answered with this status after so many seconds."""
        count = self._count_by_status.get(status)
        if count is None:
            count = self._count_by_status[status] = self._requests.labels(*self._labels, str(status)).inc
        count()
        self._observe_duration(seconds)


class HttpMetrics:
    """http_requests_total{method,handler,status} and http_request_duration_seconds{method,handler}."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "http_requests", "Requests answered.", ["method", "handler", "status"], registry=registry
        )
        self._durations = Histogram(
            "http_request_duration_seconds",
            "From a request's arrival to the start of its answer.",
            ["method", "handler"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._meters: dict[tuple[str, str], HttpMeter] = {}

    def meter(self, method: str, handler: str) -> HttpMeter:
        """The meter of a method and a handler, where `handler` is the route's template (/v1/tasks/{task_id})."""
        key = (method if method in METHODS else OTHER_METHOD, handler)
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = HttpMeter(self._requests, self._durations, *key)
        return meter

    def observe(self, method: str, handler: str, status: int, seconds: float) -> None:
        """One request of an ordinary route. Raises nothing for a method or a status that is not known."""
        self.meter(method, handler).observe(status, seconds)
