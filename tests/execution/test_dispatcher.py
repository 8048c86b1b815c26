"""The dispatcher: order, exclusiveness, claims beside handovers, and a drain that leaves nothing behind."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from app.execution import draining
from app.execution.claimer import LEAST_WINDOW, WINDOW
from app.execution.draining import drain
from app.protocol.quotas import Quota
from app.protocol.reasons import Reason
from app.protocol.states import State
from app.storage.errors import Conflict
from app.task_types.context import TaskContext
from tests.execution.node import Node, Stage, a_turn, open_node, registry_of
from tests.faults.proxy import Proxy
from tests.storage.stored import accepted_task
from tests.support.waiting import eventually

ONE = {"cpu": 1000}


async def _is(what: bool) -> bool:
    return what


async def until_waiting(node: Node, count: int) -> None:
    async def there() -> bool:
        return node.manager.waiting_count == count

    await eventually(there, f"{count} wait on {node.node_id}")


async def test_priorities_are_honoured(database_url: str, stage: Stage) -> None:
    async def step(parameters: dict[str, Any], context: TaskContext) -> None:
        if parameters["name"] == "first":
            await stage.wait_for_go(parameters, context)
        else:
            stage.began.append(parameters["name"])

    async with open_node(database_url, registry_of({"step": step}), capacity=ONE) as node:
        tasks = [await node.submit("step", {"name": "first"})]
        await stage.until_began(1)
        for priority in (5, -1, 3, 32767, -32768):
            tasks += [await node.submit("step", {"name": str(priority)}, priority=priority)]
        await until_waiting(node, 5)
        stage.go.set()
        for task_id in tasks:
            await node.reach(task_id)
        assert stage.began == ["first", "-32768", "-1", "3", "5", "32767"]
        await node.check_at_rest()


async def test_a_unit_is_held_by_one_at_a_time(database_url: str) -> None:
    stage = Stage()

    async def use(_parameters: dict[str, Any], _context: TaskContext) -> None:
        stage.running += 1
        stage.most = max(stage.most, stage.running)
        for _ in range(5):
            await a_turn()
        stage.running -= 1

    capacity = {"cpu": 100_000, "custom.licence": 1000}
    async with open_node(database_url, registry_of({"use": use}), capacity=capacity) as node:
        tasks = await asyncio.gather(
            *(node.submit("use", resources={"cpu": 1, "custom": {"licence": 1}}, message_id=f"m{n}") for n in range(40))
        )
        for task_id in tasks:
            assert (await node.reach(task_id)).state is State.COMPLETED
        assert stage.most == 1
        await node.check_at_rest()


async def test_two_nodes_share_what_is_submitted_to_one(database_url: str) -> None:
    ran: dict[str, list[str]] = {"node-a": [], "node-b": []}

    def on(node_id: str) -> Any:
        async def work(_parameters: dict[str, Any], context: TaskContext) -> None:
            ran[node_id].append(context.task_id)

        return registry_of({"work": work})

    async with (
        open_node(database_url, on("node-a"), capacity=ONE, start=False) as one,
        open_node(database_url, on("node-b"), capacity=ONE, node_id="node-b", start=False) as two,
    ):
        tasks = await asyncio.gather(*(one.submit("work", message_id=f"m{n}") for n in range(600)))
        for node in (one, two):
            await node.dispatcher.share({"the other": ONE})
            node.dispatcher.start(node.runner)
        for task_id in tasks:
            await one.reach(task_id)
        assert sorted(ran["node-a"] + ran["node-b"]) == sorted(tasks), "each once"
        assert ran["node-a"]
        assert ran["node-b"]
        await one.check_at_rest()
        await two.check_at_rest()


async def test_requests_that_cannot_be_granted_keep_nobody_else_waiting(database_url: str, stage: Stage) -> None:
    async def quick(_parameters: dict[str, Any], _context: TaskContext) -> None:
        """Is over at once."""

    registry = registry_of({"wait": stage.wait_for_go, "quick": quick})
    licence = {"cpu": 0.001, "custom": {"licence": 1}}
    capacity = {"cpu": 2000, "custom.licence": 1000}
    async with open_node(database_url, registry, capacity=capacity) as node:
        await node.submit("wait", resources=licence)
        await stage.until_began(1)
        blocked = await asyncio.gather(
            *(node.submit("wait", resources=licence, message_id=f"m{n}") for n in range(450))
        )
        assert (await node.reach(await node.submit("quick", priority=100))).state is State.COMPLETED
        assert node.manager.waiting_count <= 450
        stage.go.set()
        for task_id in blocked:
            assert (await node.reach(task_id)).state is State.COMPLETED
        assert stage.most == 1
        await node.check_at_rest()


async def test_a_retry_is_due_without_anybody_saying_so(database_url: str) -> None:
    async def second_time(_parameters: dict[str, Any], context: TaskContext) -> None:
        if context.attempt == 1:
            raise RuntimeError("no")

    async with open_node(database_url, registry_of({"work": second_time})) as node:
        task_id = await node.submit("work", retry={"initial_s": 0.2, "max_s": 0.2})
        assert (await node.reach(task_id)).attempt == 2
        await node.check_at_rest()


# -- drain -----------------------------------------------------------------------------------------------------------


async def test_a_drain_lets_finish_what_can(database_url: str, stage: Stage) -> None:
    async with open_node(database_url, registry_of({"wait": stage.wait_for_go})) as node:
        task_id = await node.submit("wait")
        await stage.until_began(1)
        draining = asyncio.create_task(drain(node.dispatcher, 30))
        stage.go.set()
        await draining
        assert (await node.task(task_id)).state is State.COMPLETED
        await node.check_at_rest()


async def test_a_drain_hands_back_and_another_node_completes(database_url: str, stage: Stage) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    async with open_node(database_url, registry, capacity=ONE) as node:
        running = await node.submit("wait", {"name": "running"})
        await stage.until_began(1)
        waiting = await node.submit("wait", {"name": "waiting"})
        await until_waiting(node, 1)
        await drain(node.dispatcher, 0)
        later = await node.submit("wait", {"name": "later"})
        handed = await node.task(running)
        assert (handed.state, handed.attempt, handed.lease_owner) == (State.WAITING, 0, None)
        assert handed.run_at is not None
        assert handed.run_at <= datetime.now(UTC)
        assert stage.running == 0
        for task_id in (waiting, later):
            assert (await node.task(task_id)).state is State.RESOURCE_ALLOCATION
            assert (await node.task(task_id)).lease_owner is None
        await node.check_at_rest()
        stage.go.set()
        async with open_node(database_url, registry, node_id="node-b") as other:
            for task_id in (running, waiting, later):
                task = await other.reach(task_id)
                assert (task.state, task.attempt) == (State.COMPLETED, 1)
            await other.check_at_rest()


async def test_a_draining_node_takes_nothing_over(database_url: str, stage: Stage) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    async with (
        open_node(database_url, registry, capacity=ONE) as gone,
        open_node(database_url, registry, node_id="node-b", start=False) as draining,
    ):
        await gone.submit("wait", {"name": "running"})
        await stage.until_began(1)
        queued = await gone.submit("wait", {"name": "queued"})
        await until_waiting(gone, 1)
        draining.dispatcher.start(draining.runner)
        await drain(draining.dispatcher, 0)
        await draining.lapse(queued)
        await draining.rescuer.rescue()
        assert (await draining.task(queued)).lease_owner is None
        assert draining.dispatcher.holdings == {}
        assert stage.began == ["running"]
        stage.go.set()
        await gone.heartbeat.beat()
        await gone.reach(queued)
        await gone.check_at_rest()


async def test_a_drain_ends_although_the_database_is_away(
    database_url: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "HAND_BACK_S", 0.2)
    registry = registry_of({"wait": stage.wait_for_go})
    async with Proxy(database_url) as proxy, open_node(proxy.url, registry, sql_url=database_url) as node:
        task_id = await node.submit("wait")
        await stage.until_began(1)
        proxy.away = True
        proxy.cut()
        await drain(node.dispatcher, 0)
        assert stage.running == 0
        assert node.manager.allocated == {}
        proxy.away = False
        await node.reach(task_id, State.EXECUTING)  # to be rescued when its lease runs out


async def test_an_outage_is_waited_out_by_what_runs(database_url: str, stage: Stage) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    async with Proxy(database_url) as proxy, open_node(proxy.url, registry, sql_url=database_url) as node:
        task_id = await node.submit("wait")
        await stage.until_began(1)
        proxy.away = True
        proxy.cut()
        stage.go.set()
        await eventually(lambda: _is(stage.running == 0), "the handler's end")
        async with node.looking:
            assert await node.sql.fetchval("SELECT state FROM tasks") == "Executing"
        proxy.away = False
        task = await eventually_over(node, task_id)
        assert task == "Completed"
        await node.check_at_rest()


async def eventually_over(node: Node, task_id: str) -> str:
    async def state() -> str | None:
        async with node.looking:
            found: str = await node.sql.fetchval("SELECT state FROM tasks WHERE task_id = $1", task_id)
        return found if State(found).terminal else None

    found = await eventually(state, "the end", within_s=30)
    assert found is not None
    return found


async def test_a_lost_lease_discards_the_result(database_url: str, stage: Stage) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    other_stage = Stage()
    async with (
        open_node(database_url, registry) as zombie,
        open_node(database_url, registry_of({"wait": other_stage.wait_for_go}), node_id="node-b", start=False) as other,
    ):
        task_id = await zombie.submit("wait", {"name": "task"})
        await stage.until_began(1)
        other.dispatcher.start(other.runner)
        await other.lapse(task_id)
        await other.rescuer.rescue()
        await other_stage.until_began(1)
        stage.go.set()
        await zombie.check_at_rest()
        assert (await other.task(task_id)).state is State.EXECUTING, "the zombie's result came to nothing"
        other_stage.go.set()
        task = await other.reach(task_id)
        assert (task.state, task.attempt, task.reason) == (State.COMPLETED, 2, None)
        assert (await other.names(task_id)).count("TaskCompleted") == 1
        await other.check_at_rest()


@pytest.mark.parametrize("hears_of_it", ["heartbeat", "progress"])
async def test_a_lost_lease_stops_the_handler(database_url: str, stage: Stage, hears_of_it: str) -> None:
    report = asyncio.Event()

    async def work(parameters: dict[str, Any], context: TaskContext) -> None:
        stage.began.append("work")
        stage.running += 1
        try:
            await report.wait()
            context.progress(0.5)
            await stage.go.wait()
        finally:
            stage.running -= 1

    async with (
        open_node(database_url, registry_of({"work": work})) as zombie,
        open_node(database_url, registry_of({"other": work}), node_id="node-b", start=False) as other,
    ):
        task_id = await zombie.submit("work", retry={"max_attempts": 1})
        await stage.until_began(1)
        await other.lapse(task_id)
        await other.rescuer.rescue()
        assert (await other.task(task_id)).reason is Reason.EXECUTOR_LOST
        if hears_of_it == "heartbeat":
            await zombie.heartbeat.beat()
        else:
            report.set()
        await eventually(lambda: _is(stage.running == 0), "the handler stopped")
        await zombie.check_at_rest()


async def test_a_task_comes_back_to_a_node_where_its_lost_attempt_still_runs(database_url: str, stage: Stage) -> None:
    """The old attempt is stopped, its neighbours in the claim are not harmed, and then the task runs again."""

    async def quick(_parameters: dict[str, Any], _context: TaskContext) -> None:
        """Is over at once."""

    registry = registry_of({"wait": stage.wait_for_go, "quick": quick})
    async with (
        open_node(database_url, registry) as node,
        open_node(database_url, registry_of({"other": quick}), node_id="node-b", start=False) as other,
    ):
        task_id = await node.submit("wait")
        await stage.until_began(1)
        await other.lapse(task_id)
        await other.rescuer.rescue()
        neighbours = [accepted_task(type="quick") for _ in range(5)]
        for neighbour in neighbours:
            await other.journal.commit(neighbour.change())
        node.dispatcher.look()
        await stage.until_began(2)
        for neighbour in neighbours:
            assert (await node.reach(neighbour.task_id)).state is State.COMPLETED
        assert stage.most == 1, "never two attempts of one task at once"
        stage.go.set()
        task = await node.reach(task_id)
        assert (task.state, task.attempt) == (State.COMPLETED, 2)
        await node.check_at_rest()


async def test_a_busy_node_does_not_hoard_what_another_could_start(database_url: str, stage: Stage) -> None:
    registry = registry_of({"wait": stage.wait_for_go})
    async with open_node(database_url, registry, capacity=ONE) as busy:
        for number in range(30):
            await busy.submit("wait", {"name": str(number)})
        await stage.until_began(1)
        assert busy.manager.waiting_count == 29, "alone, it may as well hold them all"
        async with open_node(database_url, registry, node_id="node-b", capacity={"cpu": 25_000}) as idle:
            for node in (busy, idle):
                await node.dispatcher.share({"the other": {"cpu": 25_000}})
            await stage.until_began(1 + 25)
            assert (busy.manager.running_count, idle.manager.running_count) == (1, 25)
            for number in range(30, 40):
                await busy.submit("wait", {"name": str(number)})
            assert busy.manager.waiting_count <= LEAST_WINDOW
            stage.go.set()
            await idle.check_at_rest()
            await busy.check_at_rest()


async def test_weights_divide_what_waits_in_the_database(database_url: str, stage: Stage) -> None:
    async with open_node(database_url, registry_of({"wait": stage.wait_for_go}), capacity=ONE, start=False) as node:
        await node.quotas.put("heavy", Quota(weight=3), by="admin")
        await node.submit("wait", {"name": "first"}, priority=0)
        for name in ("heavy", "light"):
            await asyncio.gather(
                *(
                    node.submit("wait", {"name": name}, submitter=name, message_id=f"{name}-{number}")
                    for number in range(WINDOW)
                )
            )
        node.dispatcher.start(node.runner)
        await until_waiting(node, WINDOW)
        assert node.manager.census.submitters == {(1, "heavy"): WINDOW * 3 // 4, (1, "light"): WINDOW // 4}
        stage.go.set()
        await stage.until_began(1 + WINDOW)
        assert Counter(stage.began[1 : 1 + WINDOW])["heavy"] == pytest.approx(WINDOW * 3 / 4, rel=0.05)
        # What is given up of the rest is not run to its end.
        await drain(node.dispatcher, 5)
        await node.check_at_rest()


async def test_what_only_another_node_could_grant_is_held_here_while_there_is_none(
    database_url: str, stage: Stage
) -> None:
    registry, large_capacity = registry_of({"wait": stage.wait_for_go}), {"cpu": 8000}
    async with (
        open_node(database_url, registry, node_id="large", capacity=large_capacity, start=False) as large,
        open_node(database_url, registry, node_id="small", capacity=ONE, start=False) as small,
    ):
        await small.dispatcher.share({"large": large_capacity})
        large_one = await small.submit("wait", {"name": "large"}, resources={"cpu": 8})
        small.dispatcher.start(small.runner)
        small_one = await small.submit("wait", {"name": "small"})
        await stage.until_began(1)
        assert list(small.dispatcher.holdings) == [small_one], "it is claimed by no node that cannot run it"

        await small.dispatcher.share({})

        async def held() -> bool:
            return large_one in small.dispatcher.holdings

        await eventually(held, "nobody is there who could: it waits where it is told why, and its time-out runs")
        waiting = small.manager.waiting(large_one, time.time())
        assert waiting is not None
        assert waiting["reason"] == "capacity"

        await small.dispatcher.share({"large": large_capacity})
        assert list(small.dispatcher.holdings) == [small_one]
        large.dispatcher.start(large.runner)
        await stage.until_began(2)
        assert large_one in large.dispatcher.holdings
        stage.go.set()
        for task_id in (large_one, small_one):
            assert (await small.reach(task_id)).state is State.COMPLETED
        await small.check_at_rest()
        await large.check_at_rest()


@pytest.mark.parametrize("wish", ["acknowledgement", "progress"])
async def test_after_a_refused_change_nothing_of_the_holder_passes_the_fence(
    database_url: str, stage: Stage, wish: str
) -> None:
    """The version that the refused change would have led to is the one that the next holder's lease has.

    What the former holder does next would be guarded by just that version.
    """
    report = asyncio.Event()

    async def work(parameters: dict[str, Any], context: TaskContext) -> None:
        if parameters["name"] == "first":
            await stage.wait_for_go(parameters, context)
        await report.wait()
        context.progress(0.5)

    running = wish == "progress"
    capacity = {"cpu": 2000} if running else ONE
    async with (
        open_node(database_url, registry_of({"work": work}), capacity=capacity) as former,
        open_node(database_url, registry_of({"other": work}), node_id="node-b", start=False) as other,
    ):
        first = await former.submit("work", {"name": "first"})
        await stage.until_began(1)
        task_id = await former.submit("work", {"name": "second"})
        wanted = State.EXECUTING if running else State.RESOURCE_ALLOCATION
        await former.reach(task_id, wanted)
        await other.lapse(task_id)
        (taken,) = await other.leases.take_expired(10)
        if running:
            report.set()
        else:
            with pytest.raises(Conflict):
                await former.dispatcher.acknowledge(task_id, 2)
            await former.heartbeat.beat()
            assert former.manager.waiting_count == 0, "it has let go of what it lost"
        stage.go.set()
        report.set()
        await former.reach(first)
        await former.check_at_rest()
        assert (await other.task(task_id)).lease_owner == "node-b"
        taken.fail(datetime.now(UTC), Reason.CANCELLED, {"kind": "cancelled", "message": "by the holder"})
        await other.journal.commit(taken.change())
        await other.check_at_rest()
