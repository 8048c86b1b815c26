"""Waiting for a condition with a deadline. Tests never sleep: they name what they wait for."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.02


class NotInTime(AssertionError):
    """The condition was not met before the deadline."""

    def __init__(self, what: str, within_s: float, last: object) -> None:
        super().__init__(f"{what}: not within {within_s:g} s; last seen: {last!r}")


def wait_until(
    probe: Callable[[], T], what: str, within_s: float = 30.0, passing: tuple[type[Exception], ...] = ()
) -> T:
    """Returns the probe's first true value. Errors of the kinds in `passing` count as "not yet"."""
    tick = threading.Event()
    deadline = time.monotonic() + within_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            if value := probe():
                return value
            last = value
        except passing as error:
            last = error
        tick.wait(POLL_S)
    raise NotInTime(what, within_s, last)


async def eventually(
    probe: Callable[[], Awaitable[T]], what: str, within_s: float = 30.0, passing: tuple[type[Exception], ...] = ()
) -> T:
    """The same for a probe that is awaited."""
    deadline = time.monotonic() + within_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            if value := await probe():
                return value
            last = value
        except passing as error:
            last = error
        await _tick()
    raise NotInTime(what, within_s, last)


async def _tick() -> None:
    loop = asyncio.get_running_loop()
    tick = loop.create_future()
    loop.call_later(POLL_S, tick.set_result, None)
    await tick
