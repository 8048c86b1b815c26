import httpx

from tests.api.caller import Caller, message
from tests.support.waiting import wait_until


def test_alive_and_ready(nobody: httpx.Client) -> None:
    assert nobody.get("/livez").json() == {"status": "alive"}
    ready = nobody.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["node"].startswith("node-")


def test_metrics_count_what_the_slim_way_answers(nobody: httpx.Client, alice: Caller) -> None:
    series = 'http_requests_total{handler="/v1/tasks",method="POST",status="202"}'

    def count() -> float:
        lines = nobody.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series))

    before = count()
    alice.submit(message())
    assert count() == before + 1
    assert nobody.get("/metrics").headers["content-type"].startswith("text/plain; version=")


def test_paths_that_are_none_do_not_become_metrics(nobody: httpx.Client) -> None:
    nobody.get("/somewhere-that-nobody-knows")
    wait_until(lambda: 'handler="none"' in nobody.get("/metrics").text, "the unknown path counted")
    assert "somewhere" not in nobody.get("/metrics").text
