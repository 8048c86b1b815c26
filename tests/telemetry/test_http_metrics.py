"""The pair of HTTP metrics, whichever way a request comes to it."""

from prometheus_client import CollectorRegistry

from app.telemetry.http_metrics import HttpMetrics


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_both_ways_feed_the_same_series() -> None:
    registry = CollectorRegistry()
    metrics = HttpMetrics(registry)
    metrics.meter("POST", "/v1/tasks").observe(202, 0.004)
    metrics.observe("POST", "/v1/tasks", 202, 0.3)
    metrics.observe("POST", "/v1/tasks", 422, 0.003)
    labels = {"method": "POST", "handler": "/v1/tasks"}
    assert sample(registry, "http_requests_total", **labels, status="202") == 2
    assert sample(registry, "http_requests_total", **labels, status="422") == 1
    assert sample(registry, "http_request_duration_seconds_count", **labels) == 3
    assert sample(registry, "http_request_duration_seconds_bucket", **labels, le="0.1") == 2
    assert sample(registry, "http_request_duration_seconds_bucket", **labels, le="0.5") == 3


def test_the_same_meter_for_the_same_handler() -> None:
    metrics = HttpMetrics(CollectorRegistry())
    assert metrics.meter("GET", "/a") is metrics.meter("GET", "/a")
    assert metrics.meter("GET", "/a") is not metrics.meter("GET", "/b")


def test_invented_methods_share_one_series() -> None:
    registry = CollectorRegistry()
    metrics = HttpMetrics(registry)
    for number in range(100):
        metrics.observe(f"INVENTED{number}", "none", 405, 0.001)
    assert sample(registry, "http_requests_total", method="other", handler="none", status="405") == 100
    series = [one for family in registry.collect() for one in family.samples if one.name == "http_requests_total"]
    assert len(series) == 1
