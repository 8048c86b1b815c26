"""Why a task waits that this node does not have at hand: it waits in the database, or on another node.

What is missing is told from the nodes' own accounts, what is ahead from bounded counts, and the start by the run times
that this node has seen. It takes two short looks into the database: what was found is told again for a second.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.protocol.resources import Amounts, Resources, shortfall, to_wire
from app.protocol.task import Task
from app.resources.estimate import Batch, Estimate, estimate, remaining
from app.resources.explanation import shown_start
from app.resources.idleness import Idleness
from app.resources.manager import ResourceManager
from app.resources.policy import dominant_share
from app.resources.run_times import RunTimes
from app.storage.ahead import AheadReader, Before
from app.storage.controls import Mode
from app.storage.nodes import Node, Nodes
from app.storage.rows import amounts_of, amounts_text

FRESH_S = 1.0
"""How long an answer is told again."""

MOST_REMEMBERED = 1_000


class Elsewhere:
    """See the module's docstring."""

    def __init__(self, nodes: Nodes, ahead: AheadReader, manager: ResourceManager, node_id: str) -> None:
        self._nodes = nodes
        self._ahead = ahead
        self._manager = manager
        self._node_id = node_id
        self._told: dict[str, tuple[float, dict[str, Any]]] = {}

    async def explain(self, task: Task, now: float) -> dict[str, Any] | None:
        """`details.waiting` of the task; None where no node takes tasks. Raises StorageUnavailable."""
        at, told = self._told.get(task.task_id, (0.0, None))
        if told is not None and abs(now - at) < FRESH_S:
            return told
        nodes = [self._freshest(node) for node in await self._nodes.all() if node.mode is Mode.SERVING]
        holder = [node for node in nodes if node.node_id == task.lease_owner]
        if not nodes:
            return None
        if holder:
            before, waiting = await self._ahead.of_held(task, holder[0].node_id), Before({}, complete=True)
        else:
            before, waiting = await self._ahead.of_stored(task), _held_by(nodes)
        told = standing(task, holder or nodes, before, waiting, self._manager.run_times, self._manager.idleness, now)
        if len(self._told) >= MOST_REMEMBERED:
            self._told.clear()
        self._told[task.task_id] = now, told
        return told

    def _freshest(self, node: Node) -> Node:
        """This node's own account is fresher than what it last reported."""
        return node if node.node_id != self._node_id else replace(node, resources=self._manager.snapshot())


def standing(
    task: Task,
    nodes: Sequence[Node],
    before: Before,
    held: Before,
    times: RunTimes,
    idleness: Idleness,
    now: float,
) -> dict[str, Any]:
    """Where the task stands behind `before`, and behind what the nodes have at hand already (`held`)."""
    wanted = task.requested
    beyond = _least(wanted, [_vector(node, "capacity") for node in nodes])
    missing = beyond or _least(wanted, [_vector(node, "free") for node in nodes])
    if beyond:
        return {"reason": "capacity", "missing": to_wire(beyond)}
    position = before.number + held.number + 1
    start = _start(wanted, nodes, [before, held], times, idleness, now) if before.complete else None
    return {
        "reason": "insufficient" if missing else "queued",
        "missing": to_wire(missing),
        "position" if before.complete else "position_at_least": position,
        **shown_start(start),
    }


def _start(
    wanted: Amounts, nodes: Sequence[Node], ahead: Sequence[Before], times: RunTimes, idleness: Idleness, now: float
) -> Estimate | None:
    """All nodes together are taken for one. What one node leaves idle says nothing of several."""
    usual = times.of_all()
    if usual is None:
        return None
    capacity = _sum([_vector(node, "capacity") for node in nodes])
    one = len(nodes) == 1
    batches = [
        Batch(
            number,
            share := dominant_share(amounts_of(shape), capacity),
            times.runs(kind) or usual,
            idleness.before(share) if one else None,
        )
        for before in ahead
        for (kind, shape), number in before.sorts.items()
    ]
    allocated = dominant_share(_sum([_vector(node, "allocated") for node in nodes]), capacity)
    running = [(allocated, remaining(usual, usual.mean_s / 2, float("inf")))]
    return estimate(now, Estimate(now, now, now), running, batches, dominant_share(wanted, capacity))


def _held_by(nodes: Sequence[Node]) -> Before:
    """What waits on the nodes: they tell what is asked for, and not of which kind it is."""
    sorts: dict[tuple[str, str], int] = {}
    for node in nodes:
        for each in node.resources["waiting_for"]:
            sort = "", amounts_text(Resources.model_validate(each["resources"]).amounts())
            sorts[sort] = sorts.get(sort, 0) + each["tasks"]
    return Before(sorts, complete=True)


def _vector(node: Node, name: str) -> Amounts:
    return Resources.model_validate(node.resources[name]).amounts()


def _sum(vectors: Sequence[Amounts]) -> Amounts:
    total: Amounts = {}
    for vector in vectors:
        for unit, amount in vector.items():
            total[unit] = total.get(unit, 0) + amount
    return total


def _least(wanted: Amounts, vectors: Sequence[Amounts]) -> Amounts:
    """What is missing where the least is, as a part of what is wanted."""
    missing = [shortfall(wanted, vector) for vector in vectors]
    return min(missing, key=lambda each: dominant_share(each, wanted))
