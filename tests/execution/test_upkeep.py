"""Heartbeats, rescue, deadlines in the queue, and requests for resources that are not granted in time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.protocol.reasons import Reason
from app.protocol.states import State
from app.protocol.times import format_time
from app.task_types.context import TaskContext
from tests.execution.node import COUNT, QUEUE, Node, Stage, open_node, registry_of
from tests.storage.stored import accepted_task
from tests.support.waiting import eventually

ONE = {"cpu": 1000}


async def quick(_parameters: dict[str, Any], _context: TaskContext) -> str:
    return "done"


async def until_waiting(node: Node, count: int) -> None:
    async def there() -> bool:
        return node.manager.waiting_count == count

    await eventually(there, f"{count} wait on {node.node_id}")


# -- requests that are not granted in time ---------------------------------------------------------------------------


async def test_busy_is_not_unavailable(database_url: str, stage: Stage) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    async with open_node(database_url, registry, capacity=ONE, rules=QUEUE) as node:
        await node.submit("wait")
        await stage.until_began(1)
        queued = await node.submit("wait")
        await until_waiting(node, 1)
        node.late_s = 1000
        await node.timeouts.check()
        task = await node.task(queued)
        assert (task.state, task.allocation_attempts) == (State.RESOURCE_ALLOCATION, 0)
        stage.go.set()
        assert (await node.reach(queued)).state is State.COMPLETED
        await node.check_at_rest()


async def test_busy_counts_where_the_letter_of_the_protocol_is_wanted(database_url: str, stage: Stage) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    async with open_node(database_url, registry, capacity=ONE, rules=COUNT) as node:
        await node.submit("wait")
        await stage.until_began(1)
        queued = await node.submit("wait")
        for attempt in range(1, 4):
            await until_waiting(node, 1)
            node.late_s += 29
            await node.timeouts.check()
            assert (await node.task(queued)).allocation_attempts == attempt - 1, "not before its time"
            node.late_s += 2
            await node.timeouts.check()
            assert (await node.task(queued)).allocation_attempts == attempt
        task = await node.task(queued)
        assert (task.state, task.reason, task.attempt) == (State.FAILED, Reason.RESOURCE_UNAVAILABLE, 0)
        unavailable = ["RequestResources", "ResourcesUnavailable"]
        assert await node.names(queued) == ["SubmitTask", "TaskAccepted", *unavailable * 3, "TaskFailed"]
        stage.go.set()
        await node.check_at_rest()


async def test_between_two_requests_a_task_waits_and_says_why(database_url: str, stage: Stage) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    async with open_node(database_url, registry, capacity=ONE, rules=COUNT) as node:
        await node.submit("wait")
        await stage.until_began(1)
        queued = await node.submit("wait")
        await until_waiting(node, 1)
        node.late_s = 31
        await node.timeouts.check()
        rows = await node.sql.fetch(
            "SELECT status, message->'body' AS body FROM history WHERE task_id = $1 AND name = 'ResourcesUnavailable'",
            queued,
        )
        assert [row["status"] for row in rows] == ["Waiting"]
        assert '"missing"' in rows[0]["body"]
        stage.go.set()
        assert (await node.reach(queued)).state is State.COMPLETED
        await node.check_at_rest()


async def test_more_than_the_whole_node_has_is_unavailable_in_both_modes(database_url: str, stage: Stage) -> None:
    """Such a request is refused at submission; another node with more may have taken it, and gone."""
    async with open_node(database_url, registry_of({"quick": quick}), capacity=ONE, rules=QUEUE) as node:
        task = accepted_task(type="quick", requested={"cpu": 2000})
        await node.journal.commit(task.change())
        for _ in range(3):
            await until_waiting(node, 1)
            node.late_s += 31
            await node.timeouts.check()
        assert (await node.reach(task.task_id)).reason is Reason.RESOURCE_UNAVAILABLE
        await node.check_at_rest()


# -- deadlines in the queue ------------------------------------------------------------------------------------------


async def test_a_deadline_that_passes_while_the_task_waits_here(database_url: str, stage: Stage) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    async with open_node(database_url, registry, capacity=ONE) as node:
        await node.submit("wait")
        await stage.until_began(1)
        deadline = datetime.now(UTC) + timedelta(seconds=0.2)
        queued = [await node.submit("wait", deadline=format_time(deadline)) for _ in range(3)]
        await until_waiting(node, 3)

        async def passed() -> bool:
            return datetime.now(UTC) > deadline

        await eventually(passed, "the deadline")
        await node.timeouts.check()
        for task_id in queued:
            task = await node.task(task_id)
            assert (task.state, task.reason, task.attempt) == (State.FAILED, Reason.DEADLINE_EXCEEDED, 0)
        assert node.manager.waiting_count == 0
        stage.go.set()
        await node.check_at_rest()


async def test_a_deadline_that_passes_where_nobody_holds_the_task(database_url: str) -> None:
    async with open_node(database_url, registry_of({"quick": quick})) as node:
        now = datetime.now(UTC)
        tasks = [accepted_task(type="unknown here", deadline=now - timedelta(seconds=1)) for _ in range(3)]
        for task in tasks:
            await node.journal.commit(task.change())
        await node.rescuer.rescue()
        for task in tasks:
            assert (await node.task(task.task_id)).reason is Reason.DEADLINE_EXCEEDED
        await node.check_at_rest()


# -- rescue ----------------------------------------------------------------------------------------------------------


async def test_what_a_dead_node_held_is_completed_by_another(database_url: str, stage: Stage) -> None:
    other_stage = Stage()
    other_stage.go.set()
    async with (
        open_node(database_url, registry_of({"wait": stage.wait_for_go}), capacity=ONE) as dead,
        open_node(database_url, registry_of({"wait": other_stage.wait_for_go}), node_id="node-b", start=False) as other,
    ):
        running = await dead.submit("wait")
        await stage.until_began(1)
        queued = await dead.submit("wait")
        await until_waiting(dead, 1)
        other.dispatcher.start(other.runner)
        await other.rescuer.rescue()
        assert other_stage.began == [], "its leases have not run out"
        await other.lapse(running, queued)
        await other.rescuer.rescue()
        assert (await other.reach(running)).attempt == 2, "the attempt that was lost counts"
        assert (await other.reach(queued)).attempt == 1
        assert "executor_lost" in str(
            await other.sql.fetch(
                "SELECT message::text FROM history WHERE task_id = $1 AND status = 'Waiting'", running
            )
        )
        await other.check_at_rest()
        await dead.heartbeat.beat()
        await dead.check_at_rest()


async def test_a_task_that_kills_its_executors_is_not_tried_for_ever(database_url: str, stage: Stage) -> None:
    async with (
        open_node(database_url, registry_of({"wait": stage.wait_for_go})) as node,
        open_node(database_url, registry_of({"other": quick}), node_id="node-b", start=False) as other,
    ):
        task_id = await node.submit("wait", retry={"max_attempts": 2})
        for attempt in (1, 2):
            await stage.until_began(attempt)
            await other.lapse(task_id)
            await other.rescuer.rescue()
        task = await other.task(task_id)
        assert (task.state, task.reason, task.attempt) == (State.FAILED, Reason.EXECUTOR_LOST, 2)
        await node.heartbeat.beat()
        await node.check_at_rest()


async def test_a_rescuer_lets_go_of_what_it_cannot_run(database_url: str, stage: Stage) -> None:
    async with (
        open_node(database_url, registry_of({"wait": stage.wait_for_go}), capacity=ONE) as dead,
        open_node(database_url, registry_of({"other": quick}), node_id="node-b") as other,
    ):
        await dead.submit("wait")
        await stage.until_began(1)
        queued = await dead.submit("wait")
        await until_waiting(dead, 1)
        await other.lapse(queued)
        await other.rescuer.rescue()
        task = await other.task(queued)
        assert (task.state, task.lease_owner) == (State.RESOURCE_ALLOCATION, None)
        await dead.heartbeat.beat()
        assert queued not in dead.dispatcher.holdings
        stage.go.set()
        assert (await dead.reach(queued)).state is State.COMPLETED
        await dead.check_at_rest()


async def test_after_an_outage_a_node_keeps_what_nobody_has_taken(database_url: str, stage: Stage) -> None:
    async with open_node(database_url, registry_of({"wait": stage.wait_for_go}), capacity=ONE) as node:
        running = await node.submit("wait")
        await stage.until_began(1)
        queued = await node.submit("wait")
        await until_waiting(node, 1)
        await node.lapse(running, queued)
        await node.rescuer.rescue()
        await node.heartbeat.beat()
        stage.go.set()
        for task_id in (running, queued):
            task = await node.reach(task_id)
            assert (task.state, task.attempt) == (State.COMPLETED, 1)
        await node.check_at_rest()


@pytest.mark.parametrize("queued_count", [0, 450])
async def test_a_restart_takes_over_what_its_predecessor_held(
    database_url: str, stage: Stage, queued_count: int
) -> None:
    """The node of a data directory keeps its name; whoever held leases in it is dead."""
    quick_stage = Stage()
    quick_stage.go.set()
    async with open_node(database_url, registry_of({"wait": stage.wait_for_go}), capacity=ONE) as killed:
        tasks = [await killed.submit("wait", {"name": "running"})]
        await stage.until_began(1)
        tasks += [await killed.submit("wait", {"name": str(number)}) for number in range(min(queued_count, 5))]
        for number in range(queued_count):
            task = accepted_task(type="wait", message_id=f"bulk-{number}", requested=ONE)
            tasks.append(task.task_id)
            change = killed.journal.commit(task.change())
        if queued_count:
            await change
            killed.dispatcher.look()
            await eventually_held(killed, 200)
        registry = registry_of({"wait": quick_stage.wait_for_go})
        async with open_node(database_url, registry, start=False) as restarted:
            await restarted.rescuer.recover_own()
            restarted.dispatcher.start(restarted.runner)
            for task_id in tasks:
                assert (await restarted.reach(task_id)).state is State.COMPLETED
            assert (await restarted.task(tasks[0])).attempt == 2
            assert sorted(quick_stage.began)[:1] == (["0"] if queued_count else ["running"])
            await restarted.check_at_rest()
        await killed.heartbeat.beat()
        await killed.check_at_rest()


async def eventually_held(node: Node, count: int) -> None:
    async def there() -> bool:
        return len(node.dispatcher.holdings) >= count

    await eventually(there, f"{count} tasks held")
