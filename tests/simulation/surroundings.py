"""The clocks and the dice of a simulated world, in place of the machine's.

The rooms that run in the simulation ask for the time and for chance at a few places (`utc_now`, `datetime.now`,
`time.time`, `random.random`, new task ids). While a world runs, those names lead here: to the virtual time, as the wall
clock of the process that asks shows it, and to the seed.
"""

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from types import ModuleType
from typing import Any

from app.clock import utc_now
from app.protocol.ids import uuid7
from app.submission.identifiers import new_task_id
from tests.simulation.loop import CURRENT, VirtualLoop

BEGIN = datetime(2026, 5, 1, tzinfo=UTC)
ROOMS = ("app.submission.", "app.execution.", "app.delivery.")
MACHINE: dict[str, Any] = {
    "datetime": datetime,
    "utc_now": utc_now,
    "time": time,
    "random": random,
    "new_task_id": new_task_id,
}


class Surroundings:
    """Time and chance of one world."""

    def __init__(self, loop: VirtualLoop, dice: random.Random) -> None:
        self._loop = loop
        self._dice = dice

    def true_time(self) -> datetime:
        """As the database's clock shows it."""
        return BEGIN + timedelta(seconds=self._loop.time())

    def now(self) -> datetime:
        """As the wall clock of the running process shows it."""
        process = CURRENT.get()
        return self.true_time() + timedelta(seconds=0.0 if process is None else process.clock_s)

    def new_task_id(self) -> str:
        """A UUIDv7 of now."""
        return str(uuid7(int(self.now().timestamp() * 1000), self._dice.getrandbits(74)))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """For as long as the block runs, the rooms of the simulation see this time and this chance."""
        ours = {
            "datetime": _datetime_of(self),
            "utc_now": self.now,
            "time": _time_of(self),
            "random": self._dice,
            "new_task_id": self.new_task_id,
        }
        places = _places()
        try:
            for module, name in places:
                setattr(module, name, ours[name])
            yield
        finally:
            for module, name in places:
                setattr(module, name, MACHINE[name])


@cache
def _places() -> list[tuple[ModuleType, str]]:
    """Where the machine's time and chance are asked for: modules, and the names by which they know them."""
    rooms = [module for name, module in sorted(sys.modules.items()) if name.startswith(ROOMS)]
    return [(module, name) for module in rooms for name, part in MACHINE.items() if vars(module).get(name) is part]


def _datetime_of(surroundings: Surroundings) -> type[datetime]:
    class Datetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            assert tz is UTC, "the service knows no other zone"
            return surroundings.now()

    return Datetime


def _time_of(surroundings: Surroundings) -> Any:
    class Time:
        @staticmethod
        def time() -> float:
            return surroundings.now().timestamp()

    return Time
