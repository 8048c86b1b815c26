"""The way from submitters to nodes: requests and answers get lost, nodes are dead, frozen or slow."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from app.storage.errors import StorageUnavailable
from tests.simulation.line import Weather
from tests.simulation.node import Node

T = TypeVar("T")

PATIENCE_S = 7.0


class Unanswered(Exception):
    """Refused, answered with 503, or not answered at all: whether it was done is unknown."""


class Network:
    """What submitters see of the nodes. `nodes` are those that are there at the moment."""

    def __init__(self, nodes: list[Node], weather: Weather, dice: random.Random) -> None:
        self._nodes = nodes
        self._weather = weather
        self._dice = dice

    def anyone(self) -> Node:
        """Some node, as a load balancer chooses."""
        return self._dice.choice(self._nodes)

    async def ask(self, request: Callable[[Node], Coroutine[Any, Any, T]], patience_s: float = PATIENCE_S) -> T:
        """Has some node answer it. Raises Unanswered, and what the request raises besides."""
        node = self.anyone()
        await asyncio.sleep(self._dice.uniform(0.0005, 0.01))
        if not node.ready or self._lost():
            raise Unanswered
        work = node.run(request(node))
        work.add_done_callback(_retrieve, context=Context())
        try:
            answer: T = await asyncio.wait_for(asyncio.shield(work), patience_s)
        except (TimeoutError, StorageUnavailable):
            raise Unanswered from None
        finally:
            # A client that has gone cuts its connection; what was begun for a submission goes on regardless.
            if patience_s < PATIENCE_S:
                work.cancel()
        if self._lost():
            raise Unanswered
        return answer

    def _lost(self) -> bool:
        return self._dice.random() < self._weather.loss / 2


def _retrieve(work: "asyncio.Task[Any]") -> None:
    """Nobody may be waiting for it any more."""
    if not work.cancelled():
        work.exception()
