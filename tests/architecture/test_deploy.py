"""What deploy/ has for Prometheus and Grafana names what the service really tells, and Prometheus understands it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.api.policies import POLICIES
from app.telemetry.metrics import Metrics, Observation
from tests.support.source_tree import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS, TESTS, BOARD = (
    PROMETHEUS / "alerts.yaml",
    PROMETHEUS / "alerts.test.yaml",
    ROOT / "deploy" / "grafana" / "board.json",
)
SAMPLES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"]}

# The environment of `make` first, where the checks of a new machine put it.
PROMTOOL = shutil.which("promtool", path=str(ROOT / ".venv/tools/usr/bin")) or shutil.which("promtool")


def known() -> set[str]:
    """The name of every sample that /metrics can have."""
    metrics = Metrics("1")
    metrics.observe_with(lambda: Observation(0, {}, 0, {}, {}, {}, 0, 0, 0))
    return {
        family.name.removesuffix(suffix) + suffix
        for family in metrics.registry.collect()
        for suffix in SAMPLES[family.type]
    }


def used(text: str) -> set[str]:
    return set(re.findall(r"\b(?:task_executor|http|process)_\w+", text)) - {"http_request"}


@pytest.mark.parametrize("path", [ALERTS, TESTS, BOARD], ids=lambda path: path.name)
def test_every_metric_is_one_that_the_service_has(path: Path) -> None:
    text = path.read_text()
    assert used(text) - known() == set()
    assert set(re.findall(r'handler=\\*"([^"\\]+)', text)) <= {route for _, route in POLICIES}


def test_alerts_and_board_cover_tasks_calls_the_database_and_webhooks() -> None:
    for path in (ALERTS, BOARD):
        assert {
            "task_executor_submissions_total",
            "task_executor_execution_time_seconds_bucket",
            "task_executor_tasks_finished_total",
            "http_request_duration_seconds_bucket",
            "task_executor_queue_age_seconds",
            "task_executor_lease_rescues_total",
            "task_executor_journal_commit_seconds_bucket",
            "task_executor_webhook_seconds_count",
            "task_executor_dead_rows",
            "task_executor_webhooks_pending",
            "task_executor_webhook_age_seconds",
        } <= used(path.read_text())


def test_the_board_shows_every_metric_of_the_service() -> None:
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in known() if name.startswith("task_executor_")}
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in used(BOARD.read_text())}
    assert families - shown == set()


def test_the_board_is_whole() -> None:
    board = json.loads(BOARD.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(panel["targets"] and panel["description"] for panel in board["panels"] if panel["type"] != "row")
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "job", "instance"}


def test_the_page_says_what_to_do_about_each_alert_and_each_is_tested() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    page = (ROOT / "docs" / "monitoring.md").read_text()
    assert re.findall(r"^\| `([A-Z]\w+)` \|", page, re.MULTILINE) == alerts
    tested = TESTS.read_text()
    assert {name: len(re.findall(rf"alertname: {name}\b", tested)) for name in alerts} == dict.fromkeys(alerts, 2)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "command", ["check rules alerts.yaml", "check config prometheus.yaml", "test rules alerts.test.yaml"]
)
def test_prometheus_understands_it(command: str) -> None:
    assert PROMTOOL is not None
    run = subprocess.run([PROMTOOL, *command.split()], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_prometheus_understands_the_queries_of_the_board(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    queries = [
        target["expr"] for panel in json.loads(BOARD.read_text())["panels"] for target in panel.get("targets", [])
    ]
    assert len(queries) > 20
    values = {"$job": "task-executor", "$instance": ".*", "$__rate_interval": "1m"}
    variables = re.compile("|".join(map(re.escape, values)))
    exprs = [variables.sub(lambda found: values[found[0]], query) for query in queries]
    assert "$" not in "".join(exprs)
    rules = [{"record": f"board:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    file = tmp_path / "board.yaml"
    file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    run = subprocess.run([PROMTOOL, "check", "rules", file], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
