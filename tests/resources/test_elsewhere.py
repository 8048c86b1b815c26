"""Why a task waits that is not at hand: from the nodes' accounts, and from what was counted."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.protocol.times import parse_time
from app.resources.elsewhere import standing
from app.resources.learnt import Learnt
from app.resources.run_times import RunTimes
from app.storage.ahead import Before
from app.storage.controls import Mode
from app.storage.nodes import Node
from tests.storage.stored import accepted_task

NONE = Before({}, complete=True)
ONE_CPU = '{"cpu":1000}'


def node(name: str, capacity: dict[str, Any], free: dict[str, Any]) -> Node:
    allocated = {"cpu": capacity["cpu"] - free["cpu"]}
    resources = {"capacity": capacity, "free": free, "allocated": allocated, "waiting_for": []}
    return Node(name, datetime.now(UTC), resources, Mode.SERVING)


def told(cpu: int, nodes: list[Node], before: Before = NONE, times: RunTimes | None = None) -> dict[str, Any]:
    return standing(accepted_task(requested={"cpu": cpu}), nodes, before, NONE, Learnt(times), 1_000.0)


def test_missing_is_what_the_node_that_comes_nearest_lacks() -> None:
    nodes = [node("a", {"cpu": 4}, {"cpu": 0}), node("b", {"cpu": 2}, {"cpu": 1})]
    assert told(2000, nodes)["missing"] == {"cpu": 1}
    assert told(1000, nodes) == {
        "reason": "queued",
        "missing": {},
        "position": 1,
        "expected_start": None,
        "expected_start_range": None,
    }


def test_more_than_any_node_has() -> None:
    nodes = [node("a", {"cpu": 4}, {"cpu": 0}), node("b", {"cpu": 2}, {"cpu": 1})]
    assert told(6000, nodes) == {"reason": "capacity", "missing": {"cpu": 2}}


def test_the_start_is_expected_once_the_nodes_together_are_through_what_is_ahead() -> None:
    times = RunTimes()
    for _ in range(60):
        times.observe("echo", 10.0)
    nodes = [node("a", {"cpu": 1}, {"cpu": 0}), node("b", {"cpu": 1}, {"cpu": 0})]
    found = told(1000, nodes, Before({("echo", ONE_CPU): 20}, complete=True), times)
    earliest, latest = (parse_time(each).timestamp() for each in found["expected_start_range"])
    expected = parse_time(found["expected_start"]).timestamp()
    assert found["position"] == 21
    assert expected == pytest.approx(1_000 + 20 / 2 * 10, abs=10)
    assert earliest < expected < latest


def test_what_runs_outside_is_not_waited_for() -> None:
    """It may ask for more than all nodes have: nothing is divided by how often that fits into them."""
    times = RunTimes()
    times.observe("print", 10.0)
    found = told(
        1000, [node("a", {"cpu": 1}, {"cpu": 1})], Before({("print", '{"cpu":1000000}'): 3}, complete=True), times
    )
    assert parse_time(found["expected_start"]).timestamp() == pytest.approx(1_000, abs=10)


def test_where_more_is_ahead_than_was_counted_the_start_is_not_known() -> None:
    times = RunTimes()
    times.observe("echo", 10.0)
    found = told(1000, [node("a", {"cpu": 1}, {"cpu": 0})], Before({("echo", ONE_CPU): 10_000}, complete=False), times)
    assert (found["position_at_least"], found["expected_start"]) == (10_001, None)
    assert "position" not in found
