"""What goes wrong in a simulated world, drawn from its seed."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.line import Weather
from tests.simulation.loop import VirtualLoop
from tests.simulation.node import LEASE_S, Node


@dataclass
class Site:
    """What faults need to know of the world. `replace` starts a new node for one that has gone."""

    loop: VirtualLoop
    nodes: list[Node]
    weather: Weather
    dice: random.Random
    replace: Callable[[Node], None]
    tell_story: Callable[[str], None]


class Trouble:
    """One fault after another."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._dice = site.dice
        self._loss = site.dice.choice((0.0, 0.02, 0.1, 0.25))
        self._pause_s = site.dice.choice((0.4, 1.0, 3.0))
        self._kinds = [self._kill, self._freeze, self._outage, self._stop, self._turn_clock]

    async def go_on(self, until_s: float) -> None:
        """Makes trouble until a time."""
        site = self._site
        site.weather.loss = self._loss
        site.tell_story(f"of all statements {self._loss:.0%} are lost or late")
        while site.loop.time() < until_s:
            await asyncio.sleep(self._dice.expovariate(1 / self._pause_s))
            await self._dice.choice(self._kinds)()

    def end(self) -> None:
        """The sky clears: from here on everything has to come right by itself."""
        site = self._site
        site.weather.loss, site.weather.away = 0.0, False
        for node in site.nodes:
            site.loop.thaw(node.process)
        site.tell_story("the trouble is over")

    def _anyone(self) -> Node:
        return self._dice.choice(self._site.nodes)

    async def _kill(self) -> None:
        node = self._anyone()
        self._site.tell_story(f"{node.name} is killed")
        node.kill()
        await asyncio.sleep(self._dice.choice((0.0, 0.1, 2.0)))
        self._site.replace(node)

    async def _stop(self) -> None:
        node, grace_s = self._anyone(), self._dice.choice((0.0, 0.2, 1.0))
        self._site.tell_story(f"{node.name} is told to stop within {grace_s:g} s")
        node.run(node.stop(grace_s))
        await asyncio.sleep(self._dice.choice((0.0, 0.1, 1.0)))
        self._site.replace(node)

    async def _freeze(self) -> None:
        node, seconds = self._anyone(), self._dice.choice((0.1, 0.9 * LEASE_S, 1.5 * LEASE_S, 3 * LEASE_S))
        self._site.tell_story(f"{node.name} is frozen for {seconds:g} s")
        self._site.loop.freeze(node.process)
        self._site.loop.call_later(seconds, self._site.loop.thaw, node.process)
        await asyncio.sleep(self._dice.uniform(0, seconds))

    async def _outage(self) -> None:
        seconds = self._dice.choice((0.05, 0.5, 1.5 * LEASE_S))
        self._site.tell_story(f"the database is away for {seconds:g} s")
        self._site.weather.away = True
        await asyncio.sleep(seconds)
        self._site.weather.away = False

    async def _turn_clock(self) -> None:
        node = self._anyone()
        node.process.clock_s = self._dice.uniform(-15, 15)
        self._site.tell_story(f"the clock of {node.name} is turned to {node.process.clock_s:+.1f} s")
