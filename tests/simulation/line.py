"""The way from a node to the database, on which everything can be lost: the question, the answer, or both for a while.

A statement is carried out by the database, not by the node: one that is on its way when its node dies is carried out
all the same, and one that its node has given up may be carried out later still.
"""

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import TypeVar

from app.storage.errors import StorageError, StorageUnavailable

T = TypeVar("T")

STATEMENT_TIMEOUT_S = 5.0
LOST_AFTER_S = 0.02


@dataclass
class Weather:
    """How it is between nodes and database: `loss` is the part of all statements that something happens to."""

    loss: float = 0.0
    away: bool = False
    slowest_s: float = 0.004


class Line:
    """One connection: one statement at a time."""

    def __init__(self, weather: Weather, dice: random.Random) -> None:
        self._weather = weather
        self._dice = dice
        self._turn = asyncio.Lock()

    async def ask(self, operation: Callable[[], T]) -> T:
        """Has the database carry it out. Raises StorageUnavailable: then nobody knows whether it was."""
        async with self._turn:
            answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            self._send(operation, answer)
            return await answer

    def _send(self, operation: Callable[[], T], answer: "asyncio.Future[T]") -> None:
        there_s, back_s = self._delay(), self._delay()
        fate = "well" if self._dice.random() >= self._weather.loss else self._dice.choice(_FATES)
        if self._weather.away or fate == "question lost":
            _later(LOST_AFTER_S, lambda: _lose(answer))
            return
        if fate == "slow":
            there_s += self._dice.uniform(0.1, 3.0)
        elif fate == "late":
            there_s += self._dice.uniform(0.5, 2.0) * STATEMENT_TIMEOUT_S
            # By the node's own patience: no other statement takes as long.
            asyncio.get_running_loop().call_later(STATEMENT_TIMEOUT_S, _lose, answer)

        def carry_out() -> None:
            if self._weather.away:
                _lose(answer)
                return
            answered = _carried_out(operation)
            if fate == "answer lost":
                _lose(answer)
            else:
                _later(back_s, lambda: _give(answer, answered))

        _later(there_s, carry_out)

    def _delay(self) -> float:
        return self._dice.uniform(0.0002, self._weather.slowest_s)


_FATES = ("question lost", "answer lost", "answer lost", "slow", "late")


def _later(delay_s: float, act: Callable[[], None]) -> None:
    """By the world, whatever becomes of the process that is running."""
    asyncio.get_running_loop().call_later(delay_s, act, context=Context())


def _carried_out(operation: Callable[[], T]) -> T | StorageError:
    try:
        return operation()
    except StorageError as error:
        return error


def _lose(answer: "asyncio.Future[T]") -> None:
    if not answer.done():
        answer.set_exception(StorageUnavailable("the connection is lost"))


def _give(answer: "asyncio.Future[T]", answered: T | StorageError) -> None:
    if answer.done():
        return
    if isinstance(answered, StorageError):
        answer.set_exception(answered)
    else:
        answer.set_result(answered)
