"""Why a task waits that this node does not have at hand: it waits in the database, or on another node.

What is missing is told from the nodes' own accounts, what is ahead from bounded counts, and the start by the run times
that this node has seen. It takes two short looks into the database: what was found is told again for a second.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.protocol.resources import Amounts, Resources, shortfall, to_wire
from app.protocol.task import Task
from app.resources.estimate import Estimate, estimate, remaining
from app.resources.explanation import shown_start
from app.resources.learnt import Learnt
from app.resources.manager import ResourceManager
from app.resources.policy import dominant_share, total
from app.storage.ahead import AheadReader, Before
from app.storage.controls import Mode
from app.storage.nodes import Node, Nodes
from app.storage.rows import amounts_of

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
        living = [self._freshest(node) for node in await self._nodes.all()]
        nodes = [node for node in living if node.mode is Mode.SERVING]
        holder = [node for node in nodes if node.node_id == task.lease_owner]
        if not nodes:
            return None
        if not _large_enough(task.requested, nodes) and _large_enough(task.requested, living):
            return {"reason": "paused"}
        held = await self._ahead.of_held(task, [node.node_id for node in holder or nodes])
        stored = Before({}, complete=True) if holder else await self._ahead.of_stored(task)
        told = standing(task, holder or nodes, stored, held, self._learnt_of(holder or nodes), now)
        if len(self._told) >= MOST_REMEMBERED:
            self._told.clear()
        self._told[task.task_id] = now, told
        return told

    def _freshest(self, node: Node) -> Node:
        """This node's own account is fresher than what it last reported."""
        return node if node.node_id != self._node_id else replace(node, resources=self._manager.snapshot())

    def _learnt_of(self, nodes: Sequence[Node]) -> Learnt:
        alone = [node.node_id for node in nodes] == [self._node_id]
        return self._manager.learnt if alone else self._manager.learnt.of_others()


def standing(
    task: Task, nodes: Sequence[Node], before: Before, held: Before, learnt: Learnt, now: float
) -> dict[str, Any]:
    """Where the task stands behind what is ahead in the database (`before`) and at hand on the nodes (`held`)."""
    wanted = task.requested
    beyond = _least(wanted, [_vector(node, "capacity") for node in nodes])
    missing = beyond or _least(wanted, [_vector(node, "free") for node in nodes])
    if beyond:
        return {"reason": "capacity", "missing": to_wire(beyond)}
    position, complete = before.number + held.number + 1, before.complete and held.complete
    start = _start(wanted, nodes, [before, held], learnt, now) if complete else None
    return {
        "reason": "insufficient" if missing else "queued",
        "missing": to_wire(missing),
        "position" if complete else "position_at_least": position,
        **shown_start(start),
    }


def _start(
    wanted: Amounts, nodes: Sequence[Node], ahead: Sequence[Before], learnt: Learnt, now: float
) -> Estimate | None:
    """All nodes together are taken for one. What asks for more than they have runs outside, and is in nobody's way."""
    usual = learnt.times.of_all()
    if usual is None:
        return None
    capacity = total([_vector(node, "capacity") for node in nodes])
    batches = [
        batch
        for before in ahead
        for (kind, shape), number in before.sorts.items()
        if (asked := dominant_share(amounts_of(shape), capacity)) <= 1 and (batch := learnt.batch(kind, number, asked))
    ]
    allocated = dominant_share(total([_vector(node, "allocated") for node in nodes]), capacity)
    running = [(allocated, remaining(usual, usual.mean_s / 2, float("inf")))]
    share = dominant_share(wanted, capacity)
    return estimate(now, Estimate(now, now, now), running, batches, share, learnt.pace.of(share))


def _large_enough(wanted: Amounts, nodes: Sequence[Node]) -> bool:
    return any(not shortfall(wanted, _vector(node, "capacity")) for node in nodes)


def _vector(node: Node, name: str) -> Amounts:
    return Resources.model_validate(node.resources[name]).amounts()


def _least(wanted: Amounts, vectors: Sequence[Amounts]) -> Amounts:
    """What is missing where the least is, as a part of what is wanted."""
    missing = [shortfall(wanted, vector) for vector in vectors]
    return min(missing, key=lambda each: dominant_share(each, wanted))
