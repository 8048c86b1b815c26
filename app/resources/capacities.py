"""Capacities: what each node has, and so what could ever be granted, here or anywhere."""

from collections.abc import Mapping
from typing import NamedTuple

from app.protocol.resources import Amounts, shortfall


class NodeCapacity(NamedTuple):
    """All that a node has."""

    node_id: str
    amounts: Amounts


class Capacities:
    """This node's own, and those of the other nodes that live, as they last reported them."""

    def __init__(self, node_id: str, own: Amounts) -> None:
        self._own = NodeCapacity(node_id, own)
        self._others: list[NodeCapacity] = []

    @property
    def alone(self) -> bool:
        """Whether no other node lives."""
        return not self._others

    @property
    def all(self) -> list[NodeCapacity]:
        """Every node's, this one's first."""
        return [self._own, *self._others]

    def others_have(self, others: Mapping[str, Amounts]) -> bool:
        """Takes what the other nodes have, by name; answers whether anything has changed."""
        before, self._others = self._others, [NodeCapacity(*each) for each in sorted(others.items())]
        return self._others != before

    def nearest(self, amounts: Amounts) -> NodeCapacity:
        """A node that could grant the request, this one before others; else the one that lacks least of it.

        That is the one with the fewest units too small, and of these the one whose largest lack is the smallest part of
        what is asked for: the largest node, where one unit is asked for.
        """

        def lack(node: NodeCapacity) -> tuple[int, float]:
            missing = shortfall(amounts, node.amounts)
            return len(missing), max((lacking / amounts[unit] for unit, lacking in missing.items()), default=0.0)

        return self._own if not shortfall(amounts, self._own.amounts) else min(self.all, key=lack)

    def only_elsewhere(self, amounts: Amounts) -> bool:
        """Whether this node could never grant the request, and another could."""
        if self.alone or not shortfall(amounts, self._own.amounts):
            return False
        return any(not shortfall(amounts, other.amounts) for other in self._others)
