"""Deadlines at risk are told before they are missed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.execution.deadlines import DeadlineWatch
from app.execution.holding import Recorder
from app.protocol.states import State
from app.protocol.times import format_time
from app.resources.request import Request
from tests.execution.node import Node, Stage, open_node, registry_of

ONE = {"cpu": 1000}
USUAL_S = 100.0


def ahead(seconds: float) -> str:
    return format_time(datetime.now(UTC) + timedelta(seconds=seconds))


def has_seen_run(node: Node, kind: str, seconds: float = USUAL_S) -> None:
    """Tasks of this kind are known to run for so long."""
    now = datetime.now(UTC).timestamp()
    node.manager.request(Request("seen", "bob", 1, ONE, now, None, kind))
    node.manager.decide(now - seconds)
    node.manager.release("seen", now)


def watch_of(node: Node) -> DeadlineWatch:
    return DeadlineWatch(node.dispatcher, node.manager, Recorder(node.journal), node.leases, node.journal)


async def warning(node: Node, task_id: str) -> dict[str, Any] | None:
    text = (await node.task(task_id)).warning_json
    return None if text is None else json.loads(text)


async def test_a_deadline_that_cannot_be_met_is_said_at_submission(database_url: str, stage: Stage) -> None:
    async with open_node(database_url, registry_of({"wait": stage.wait_for_go}), capacity=ONE) as node:
        unknown = await node.submit("wait", {"name": "unknown"}, deadline=ahead(10))
        assert await warning(node, unknown) is None, "no task of this kind has been seen to end"
        stage.go.set()
        await node.reach(unknown)
        stage.go.clear()
        has_seen_run(node, "wait")
        has_seen_run(node, "wait")
        late = await node.submit("wait", {"name": "late"}, deadline=ahead(10))
        found = await warning(node, late)
        assert found is not None
        assert found["kind"] == "deadline_infeasible"
        in_time = await node.submit("wait", {"name": "in time"}, deadline=ahead(100 * USUAL_S))
        assert await warning(node, in_time) is None
        assert await warning(node, await node.submit("wait")) is None
        assert "ProgressUpdate" not in await node.names(late)
        stage.go.set()
        for task_id in (late, in_time):
            assert (await node.reach(task_id)).warning_json is None, "nothing threatens a task that is over"


@pytest.mark.parametrize("held", [True, False], ids=["waits here", "waits in the database"])
async def test_a_task_that_waits_is_warned_of_once(database_url: str, stage: Stage, held: bool) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    async with open_node(database_url, registry, capacity=ONE, start=held) as node:
        if held:
            await node.submit("wait")
            await stage.until_began(1)
        waiting = await node.submit("wait", deadline=ahead(USUAL_S / 2))
        patient = await node.submit("wait", deadline=ahead(50 * USUAL_S))
        assert await warning(node, waiting) is None
        watch = watch_of(node)
        await watch.look()
        assert await warning(node, waiting) is None, "no task of this kind has been seen to end"
        # As it would be learnt from other tasks of this kind; the node that waits has no room for any.
        node.manager._allocations.learnt.times.observe("wait", USUAL_S)
        await watch.look()
        await watch.look()
        found = await warning(node, waiting)
        assert found is not None
        assert found["kind"] == "deadline_at_risk"
        assert await warning(node, patient) is None
        assert (await node.names(waiting)).count("ProgressUpdate") == 1
        assert (await node.task(waiting)).state is State.RESOURCE_ALLOCATION
        stage.go.set()


async def test_a_task_that_runs_longer_than_expected_is_warned_of(database_url: str, stage: Stage) -> None:
    async with open_node(database_url, registry_of({"wait": stage.wait_for_go}), capacity=ONE) as node:
        task_id = await node.submit("wait", deadline=ahead(USUAL_S / 2))
        await stage.until_began(1)
        node.manager._allocations.learnt.times.observe("wait", USUAL_S)
        await watch_of(node).look()
        assert (await warning(node, task_id) or {})["kind"] == "deadline_at_risk"
        stage.go.set()
        assert (await node.reach(task_id)).state is State.COMPLETED
        await node.check_at_rest()
