"""Whether the database answers: noticed within a second that it does not, told at once from then on, and its return.

A statement may take long because there is much to do, or because nobody is there any more (a frozen server, a network
that swallows everything); no time-out tells one from the other. So the database is asked something small when a
statement is late, or has failed for want of a connection. Where that is not answered either, and no other statement
is meanwhile, it is away: whatever waits for it is dropped, and new statements are refused at once until it is back.

    answers -> late or failed -> asked -> answers
                                       -> away, everything dropped -> asked again and again -> answers
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Self

from app.storage.errors import StorageUnavailable, is_unavailable

logger = logging.getLogger("app.storage")

TURN_S = 0.1
"""Time is counted in turns of this length. On a machine that is short of everything they take longer here too, and
the database is then given more time."""

LATE_TURNS = 2
"""A statement is late after so many."""

PATIENCE_TURNS = 5
"""How long the answer to the small question may take."""

TRUST_S = 0.3
"""How long the database is not doubted after it has answered it."""

RETRY_S = 0.2
"""How often it is asked while it is away: much less than the two seconds in which its return is to be noticed."""

Ask = Callable[[], Coroutine[Any, Any, None]]
"""Asks the database something small. Raises where it does not answer."""


class Operation:
    """Something that waits for the database; `abort` makes it fail. To be used as a context manager."""

    __slots__ = ("_availability", "abort", "turn")

    def __init__(self, availability: "Availability", abort: Callable[[], object]) -> None:
        self._availability = availability
        self.abort = abort
        self.turn = 0

    def __enter__(self) -> Self:
        self._availability.begin(self)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._availability.end(self, error)


class Availability:
    """See the module's docstring. `over_kept` asks over a connection that is there, `over_new` opens one.

    Either answer will do: a server that can open no more connections is not away, nor is one of which a connection
    that has long been idle was forgotten on the way.
    """

    def __init__(self, over_kept: Ask, over_new: Ask) -> None:
        self._asks = (over_kept, over_new)
        self._over_new = over_new
        self._operations: dict[Operation, None] = {}
        self._listeners: list[Callable[[], object]] = []
        self._turn = 0
        self._answered = 0
        self._trusted_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self.away = False

    def check(self) -> None:
        """Raises StorageUnavailable where the database is known to be away."""
        if self.away:
            raise StorageUnavailable("the database does not answer")

    def operation(self, abort: Callable[[], object] = lambda: None) -> Operation:
        """Something that is about to wait for the database."""
        return Operation(self, abort)

    def on_away(self, listener: Callable[[], object]) -> None:
        """`listener` is called each time that the database turns out to be away."""
        self._listeners.append(listener)

    def begin(self, operation: Operation) -> None:
        """The operation waits from now on."""
        operation.turn = self._turn
        self._operations[operation] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TURN_S, self._pass_turn)

    def end(self, operation: Operation, error: BaseException | None) -> None:
        """It waits no more; `error` is what it failed with."""
        self._operations.pop(operation, None)
        if error is None:
            self._answered += 1
        elif is_unavailable(error):
            self._doubt()

    async def close(self) -> None:
        """Asks no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _pass_turn(self) -> None:
        self._timer = None
        if not self._operations:
            return
        self._turn += 1
        self._timer = asyncio.get_running_loop().call_later(TURN_S, self._pass_turn)
        # In the order in which they began.
        oldest = next(iter(self._operations))
        if self._turn - oldest.turn >= LATE_TURNS:
            self._doubt()

    def _doubt(self) -> None:
        if self._asking is None and asyncio.get_running_loop().time() >= self._trusted_until:
            self._asking = asyncio.create_task(self._find_out())

    async def _find_out(self) -> None:
        try:
            if not await self._answers():
                self._lose()
                await self._returns()
            self._trusted_until = asyncio.get_running_loop().time() + TRUST_S
        finally:
            self._asking = None

    async def _answers(self) -> bool:
        """It answers one of the questions, or any statement meanwhile."""
        answered = self._answered
        waiting = {asyncio.create_task(ask()) for ask in self._asks}
        try:
            for _ in range(PATIENCE_TURNS):
                done, waiting = await asyncio.wait(waiting, timeout=TURN_S, return_when=asyncio.FIRST_COMPLETED)
                if _any_succeeded(done) or self._answered != answered:
                    return True
                if not waiting:
                    return False
            return False
        finally:
            await _drop(waiting)

    def _lose(self) -> None:
        logger.warning("the database is away: it is asked until it answers, and everything else is refused")
        self.away = True
        for operation in list(self._operations):
            operation.abort()
        for listener in self._listeners:
            listener()

    async def _returns(self) -> None:
        """Waits for an answer. Questions that have been swallowed are not waited for before another is asked."""
        begin = asyncio.get_running_loop().time()
        waiting: set[asyncio.Task[None]] = set()
        try:
            while self.away:
                waiting.add(asyncio.create_task(self._over_new()))
                done, waiting = await asyncio.wait(waiting, timeout=RETRY_S, return_when=asyncio.FIRST_COMPLETED)
                if _any_succeeded(done):
                    self.away = False
                elif done:
                    await asyncio.sleep(RETRY_S)
        finally:
            await _drop(waiting)
        logger.info("the database is back after %.1f s", asyncio.get_running_loop().time() - begin)


def _any_succeeded(done: set[asyncio.Task[None]]) -> bool:
    # All are looked at: asyncio complains of a failure that nobody has looked at.
    return any([not asked.cancelled() and asked.exception() is None for asked in done])  # noqa: C419 - see above


async def _drop(waiting: set[asyncio.Task[None]]) -> None:
    for asked in waiting:
        asked.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
