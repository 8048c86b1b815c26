"""Starts that a quota holds back: what is said of it, also where nothing was refused."""

import asyncio
import json
from typing import Any

from app.execution.start_gate import StartGate
from app.protocol.quotas import Quota
from app.protocol.resources import Resources
from app.storage.errors import QuotaExceeded
from tests.execution.node import Node, Stage, open_node, registry_of


async def told(gate: StartGate, node: Node, task_id: str) -> dict[str, Any] | None:
    why = await gate.explain(await node.task(task_id))
    return None if why is None else json.loads(why)


async def test_a_node_that_has_refused_nothing_says_which_quota_holds_a_task_back(
    database_url: str, stage: Stage
) -> None:
    limits = {"alice": Quota(running=1), "bob": Quota(held=Resources(cpu=1.5))}
    async with open_node(database_url, registry_of({"stay": stage.wait_for_go})) as node:
        for name, quota in limits.items():
            await node.quotas.put(name, quota, by="admin")
            await node.submit("stay", submitter=name)
        await stage.until_began(2)
        behind = {name: await node.submit("stay", submitter=name) for name in limits}
        other = StartGate(node.quotas)
        running = {"reason": "quota", "missing": {}, "policy": "running", "limit": 1, "used": 1}
        held = {"reason": "quota", "missing": {"cpu": 0.5}, "policy": "held", "limit": None, "used": None}
        assert await told(other, node, behind["alice"]) == running
        assert await told(other, node, behind["bob"]) == held
        await node.quotas.put("bob", Quota(held=Resources(cpu=0.25)), by="admin")
        assert await told(StartGate(node.quotas), node, behind["bob"]) == {**held, "missing": {"cpu": 1.75}}
        await node.quotas.remove("bob")
        stage.go.set()
        for task_id in behind.values():
            await node.reach(task_id)


async def test_nothing_is_said_of_those_who_may_start_more(database_url: str, stage: Stage) -> None:
    async with open_node(database_url, registry_of({"stay": stage.wait_for_go}), capacity={"cpu": 1000}) as node:
        await node.quotas.put("alice", Quota(running=2), by="admin")
        for name in ("alice", "carol"):
            await node.submit("stay", submitter=name)
        behind = {name: await node.submit("stay", submitter=name) for name in ("alice", "carol")}
        other = StartGate(node.quotas)
        assert [await told(other, node, task_id) for task_id in behind.values()] == [None, None]
        stage.go.set()
        for task_id in behind.values():
            await node.reach(task_id)


async def test_two_looks_at_once_open_the_gate_once(database_url: str, stage: Stage) -> None:
    opened: list[int] = []
    async with open_node(database_url, registry_of({"stay": stage.wait_for_go})) as node:
        await node.quotas.put("alice", Quota(running=1), by="admin")
        task_id = await node.submit("stay")
        gate = StartGate(node.quotas, opened=lambda: opened.append(1))
        gate.refused(await node.task(task_id), QuotaExceeded("running", 1, 1))
        assert gate.is_shut("alice")
        await node.quotas.remove("alice")
        await asyncio.gather(gate.look(), gate.look(), gate.ended("alice"))
        assert not gate.is_shut("alice")
        assert opened == [1]
        stage.go.set()
        await node.reach(task_id)
