"""Draining: a node finishes what it runs, hands back what does not finish in time, and takes nothing more."""

import asyncio
import logging

from app.execution.dispatcher import Dispatcher
from app.fault_points import reached
from app.protocol.reasons import Reason

logger = logging.getLogger("app.execution")

HAND_BACK_S = 15.0
"""How long a drain waits for attempts that were stopped. A database that is away must not keep a process from ending:
what could not be recorded is rescued when its lease runs out."""


async def drain(dispatcher: Dispatcher, grace_s: float) -> None:
    """Before the end of this node: takes nothing more, and hands back what does not finish within `grace_s` seconds."""
    await dispatcher.close_doors()
    for attempt in await hand_back(dispatcher, grace_s):
        logger.warning("an attempt could not be handed back in time: its lease will run out")
        attempt.cancel()


async def hand_back(dispatcher: Dispatcher, grace_s: float) -> set[asyncio.Task[None]]:
    """Lets what runs finish within `grace_s` seconds and hands back the rest: those attempts do not count.

    Answers what could not be stopped.
    """
    await _ended(dispatcher, grace_s)
    await reached("drain.before_stop")
    for holding in dispatcher.holdings.values():
        if holding.attempt is not None:
            holding.stop.set(Reason.EXECUTOR_LOST)
    return await _ended(dispatcher, HAND_BACK_S)


async def _ended(dispatcher: Dispatcher, within_s: float) -> set[asyncio.Task[None]]:
    """Waits for the end of all attempts; answers those that still run after so many seconds."""
    attempts = {holding.attempt for holding in dispatcher.holdings.values() if holding.attempt is not None}
    if not attempts:
        return set()
    _, left = await asyncio.wait(attempts, timeout=within_s)
    return left
