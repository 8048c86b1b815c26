"""The dispatcher: from a stored task to a running attempt.

A task comes in one of two ways: handed over in memory by the submission that stored it, where this node has
room and nothing older waits; or claimed from the database. Both then ask the Resource Manager, and run when
it grants. What this node holds is in `holdings`, and nowhere else.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from app.execution.holding import Holding, Recorder, parameters_of
from app.execution.retry import stop_error
from app.execution.runner import Runner
from app.protocol.reasons import Reason
from app.protocol.resources import Amounts
from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.resources.request import Grant, request_of
from app.storage.claim import Leases
from app.storage.errors import StorageUnavailable
from app.storage.rows import amounts_text
from app.task_types.registry import Registry

logger = logging.getLogger("app.execution")

CLAIM_LIMIT = 200
"""Tasks in one claim: a claim of 200 costs little more than one of 20."""

SHAPE_WINDOW = 200
"""Waiting requests of one shape held in memory. A shape at its window is not claimed, so that requests which
cannot be granted (a licence that is out, a GPU that is taken) never keep others from being looked at."""

PENDING_LIMIT = 20 * SHAPE_WINDOW
"""Waiting requests of all shapes held in memory."""

POLL_S = 1.0
"""How often the database is asked when nobody says anything: the fallback behind every wake-up."""


class Dispatcher:
    """See the module's docstring. `serves` are the types that this node can run."""

    def __init__(
        self,
        leases: Leases,
        manager: ResourceManager,
        registry: Registry,
        recorder: Recorder,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.node_id = leases.node_id
        self.holdings: dict[str, Holding] = {}
        self._leases = leases
        self._manager = manager
        self._registry = registry
        self._recorder = recorder
        self._clock = clock
        self._types = [kind.name for kind in registry if kind.runs_in != "external"]
        self._runner: Runner | None = None
        self._wake = asyncio.Event()
        self._claimer: asyncio.Task[None] | None = None
        self._paused = True
        self._reserved = 0
        self._announced = 0
        # Until a claim has come back with less than it asked for, something older may wait in the database.
        self._backlog = True

    def start(self, runner: Runner) -> None:
        """Begins to claim and to accept handovers."""
        self._runner = runner
        self._paused = False
        self._claimer = asyncio.create_task(self._claim_forever())

    # -- from the submission (submission.handler.Handover) ------------------------------------------

    def reserve(self, task: Task) -> bool:
        """This node takes the task at once: it has room, and nothing older waits in the database."""
        if self._paused or self._backlog or task.type not in self._types:
            return False
        if self._reserved + self._manager.waiting_count >= SHAPE_WINDOW:
            return False
        self._reserved += 1
        return True

    def deliver(self, task: Task, parameters: dict[str, Any]) -> None:
        """The reserved task is durable."""
        self._reserved -= 1
        self._hold(task, parameters)
        self._grant()

    def withdraw(self, task: Task) -> None:  # noqa: ARG002 - part of the seam
        """The reserved task was not stored after all."""
        self._reserved -= 1

    def announce(self, task: Task) -> None:  # noqa: ARG002 - part of the seam
        """A task was stored that nobody has reserved."""
        self.look()

    def starts_at_once(self, amounts: Amounts) -> bool:
        """Whether a task that asks for so much would start now."""
        return not self._paused and not self._backlog and self._manager.free_for(amounts)

    def look(self) -> None:
        """Something may wait in the database."""
        self._announced += 1
        self._backlog = True
        self._wake.set()

    def look_at(self, moment: datetime) -> None:
        """Something will be due then."""
        delay_s = max(0.0, (moment - datetime.now(UTC)).total_seconds())
        asyncio.get_running_loop().call_later(delay_s, self.look)

    # -- claiming -----------------------------------------------------------------------------------

    def adopt(self, tasks: list[Task]) -> None:
        """Takes tasks whose lease this node has just been given."""
        for task in tasks:
            self._hold(task, parameters_of(task))
        self._grant()

    async def _claim_forever(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            except TimeoutError:
                self._backlog = True
            self._wake.clear()
            try:
                while self._backlog and not self._paused and await self._claim():
                    pass
            except StorageUnavailable as error:
                logger.warning("cannot claim, the database is away: %s", error)
                await asyncio.sleep(POLL_S / 4)
                self._wake.set()
            except Exception:
                # Whatever it is, a dispatcher that has died without a word would be worse.
                logger.exception("claiming failed")
                await asyncio.sleep(POLL_S)

    async def _claim(self) -> bool:
        """One claim; answers whether another may bring more."""
        if self._manager.waiting_count >= PENDING_LIMIT:
            return False
        full = [amounts_text(amounts) for amounts, count in self._manager.pending_by_shape() if count >= SHAPE_WINDOW]
        announced = self._announced
        tasks = await self._leases.claim(CLAIM_LIMIT, self._types, full)
        self.adopt(tasks)
        if len(tasks) < CLAIM_LIMIT and announced == self._announced:
            # With a shape held back, more may wait than was looked at.
            self._backlog = bool(full)
            return False
        return True

    # -- resources ----------------------------------------------------------------------------------

    def _hold(self, task: Task, parameters: dict[str, Any]) -> None:
        kind = self._registry.get(task.type)
        if kind is None:
            logger.error("no task type %r here", task.type, extra={"task_id": task.task_id})
            return
        self.holdings[task.task_id] = Holding(task, kind, parameters, self._clock())
        self._manager.request(request_of(task))

    def _grant(self) -> None:
        for grant in self._manager.decide(self._clock()):
            holding = self.holdings[grant.task_id]
            holding.attempt = asyncio.create_task(self._run(holding, grant))

    def released(self, holding: Holding) -> None:
        """An attempt is over: its resources are free for others."""
        self._manager.release(holding.task.task_id, self._clock(), ran_to_end=holding.stop.reason is None)
        self._grant()
        if self._backlog:
            self._wake.set()

    async def _run(self, holding: Holding, grant: Grant) -> None:
        assert self._runner is not None
        try:
            await self._runner.run(holding, grant)
        except Exception:
            logger.exception("an attempt could not be brought to its end", extra={"task_id": holding.task.task_id})
        finally:
            del self.holdings[holding.task.task_id]
        if not holding.lost and holding.task.run_at is not None:
            self.look_at(holding.task.run_at)

    def let_go(self, holding: Holding) -> None:
        """Stops asking for the resources of a task that has not started, and forgets it."""
        self._manager.withdraw(holding.task.task_id)
        del self.holdings[holding.task.task_id]

    # -- ends from outside --------------------------------------------------------------------------

    async def cancel(self, holding: Holding, by: str) -> None:
        """Cancels a held task: at once where it has not started, else its handler is told.

        Raises Conflict where another node has taken it meanwhile.
        """
        if holding.attempt is None:
            self.let_go(holding)
            await self._recorder.record(
                holding,
                lambda task, now: task.request_cancel(now, by),
                lambda task, now: task.fail(now, Reason.CANCELLED, stop_error(task, Reason.CANCELLED)),
            )
        elif holding.stop.reason is None:
            await self._recorder.record(holding, lambda task, now: task.request_cancel(now, by))
            holding.stop.set(Reason.CANCELLED)

    def lost(self, task_id: str) -> None:
        """The lease of a held task has gone to another: stop, and write nothing more."""
        holding = self.holdings.get(task_id)
        if holding is None:
            return
        holding.lost = True
        if holding.attempt is None:
            self.let_go(holding)
        else:
            holding.stop.set(Reason.EXECUTOR_LOST)

    async def drain(self, grace_s: float) -> None:
        """Takes nothing more, lets what runs finish within `grace_s` seconds, hands back the rest."""
        self._paused = True
        if self._claimer is not None:
            self._claimer.cancel()
            await asyncio.gather(self._claimer, return_exceptions=True)
        await self._give_back()
        attempts = self._attempts()
        if attempts:
            await asyncio.wait(attempts, timeout=grace_s)
        for holding in self.holdings.values():
            holding.stop.set(Reason.EXECUTOR_LOST)
        attempts = self._attempts()
        if attempts:
            await asyncio.wait(attempts)

    async def _give_back(self) -> None:
        waiting = [holding for holding in self.holdings.values() if holding.attempt is None]
        for holding in waiting:
            self.let_go(holding)
        if waiting:
            try:
                await self._leases.give_back([holding.task.task_id for holding in waiting])
            except StorageUnavailable:
                logger.warning("%d tasks could not be given back: their leases will run out", len(waiting))

    def _attempts(self) -> list[asyncio.Task[None]]:
        return [holding.attempt for holding in self.holdings.values() if holding.attempt is not None]
