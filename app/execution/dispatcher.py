"""The dispatcher: from a stored task to a running attempt.

A task comes in one of two ways: handed over in memory by the submission that stored it, where this node has room and
nothing older waits (handover.py); or claimed from the database (claimer.py). Both then ask the Resource Manager, and
run when it grants. What this node holds is in `holdings`, and nowhere else.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from app.execution import wishes
from app.execution.claimer import Claimer
from app.execution.handover import Handover
from app.execution.holding import Holding, Recorder, parameters_of
from app.execution.promptly import promptly
from app.execution.runner import Runner
from app.execution.start_gate import StartGate
from app.protocol.reasons import Reason
from app.protocol.resources import Amounts
from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.resources.request import Grant, request_of
from app.storage.claim import Leases
from app.storage.errors import Conflict, StorageUnavailable
from app.task_types.registry import Registry

logger = logging.getLogger("app.execution")


class Dispatcher:
    """See the module's docstring."""

    def __init__(
        self,
        leases: Leases,
        manager: ResourceManager,
        registry: Registry,
        recorder: Recorder,
        gate: StartGate,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.node_id = leases.node_id
        self.holdings: dict[str, Holding] = {}
        self._leases = leases
        self._manager = manager
        self._registry = registry
        self._recorder = recorder
        self._gate = gate
        self._clock = clock
        self._served = [kind.name for kind in registry if kind.runs_in != "external"]
        self._runner: Runner | None = None
        self._claimer = Claimer(leases, manager, self._served, self.adopt, self._catch_up)
        self._claimer.allowance = gate.room
        self._claimer.held = True
        self.capacities = self._claimer.capacities
        self.handover = Handover(
            self.node_id, self._claimer, manager, gate, hold=self._take, grant=self._grant, clock=clock
        )
        self._closing = False
        self._left_out: frozenset[str] = frozenset()

    def start(self, runner: Runner) -> None:
        """Begins to claim and to accept handovers."""
        self._runner = runner
        self._claimer.held = False
        self._claimer.start()

    def look(self) -> None:
        """Something may wait in the database."""
        self._claimer.announce()

    def look_at(self, moment: datetime) -> None:
        """Something will be due then."""
        self._claimer.look_at(moment)

    def _catch_up(self) -> None:
        self.handover.catch_up()

    async def adopt(self, tasks: list[Task]) -> None:
        """Takes tasks whose lease this node has just been given, and gives back those that it cannot run.

        Such as one of which a former attempt still runs here, until that has stopped. Raises StorageUnavailable.
        """
        strange = [task.task_id for task in tasks if not self._can_hold(task)]
        for task in tasks:
            if task.task_id not in strange:
                self._take(task, parameters_of(task))
        self._grant()
        for task_id in strange:
            self.lost(task_id)
        if strange:
            await self._leases.give_back(strange)

    def _can_hold(self, task: Task) -> bool:
        served = not self._claimer.held and self._claimer.serves(task) and self._leases.can_open(task)
        return served and task.task_id not in self.holdings and self._gate.pass_through(task.submitter)

    # -- resources ----------------------------------------------------------------------------------

    def _take(self, task: Task, parameters: dict[str, Any], grant: Grant | None = None) -> None:
        """Holds a task from now on: its attempt runs by the grant, or it asks for its resources."""
        if grant is None and task.task_id in self.holdings:
            # Its lease has run out before it came this far, and it was taken over by this very node.
            return
        kind = self._registry.get(task.type)
        assert kind is not None, "only types that are served come this far"
        holding = self.holdings[task.task_id] = Holding(task, kind, parameters, self._clock())
        if grant is None:
            self._manager.request(request_of(task))
        else:
            self._run_attempt(holding, grant)

    def _grant(self) -> None:
        if not self._claimer.held:
            for grant in self._manager.decide(self._clock()):
                self._run_attempt(self.holdings[grant.task_id], grant)

    def _run_attempt(self, holding: Holding, grant: Grant) -> None:
        holding.attempt = asyncio.create_task(self._run(holding, grant))

    def released(self, holding: Holding) -> None:
        """An attempt is over: its resources are free for others."""
        self._manager.release(holding.task.task_id, self._clock(), ran_to_end=holding.stop.reason is None)
        self._grant()
        self._claimer.room()

    async def _run(self, holding: Holding, grant: Grant) -> None:
        assert self._runner is not None
        try:
            await self._runner.run(holding, grant)
        except Exception:
            logger.exception("an attempt could not be brought to its end", extra={"task_id": holding.task.task_id})
        finally:
            del self.holdings[holding.task.task_id]
        ended = holding.task
        if holding.held_back is not None:
            self._gate.refused(ended, holding.held_back)
            await self._give_back(lambda task: task.submitter == ended.submitter, [ended.task_id])
        elif not holding.lost and ended.run_at is not None:
            self.look_at(ended.run_at)
        await self._gate.ended(ended.submitter)

    def let_go(self, holding: Holding) -> None:
        """Stops asking for the resources of a task that has not started, and forgets it."""
        self._forget(holding)
        self._grant()  # what waits may have waited for it

    def _forget(self, holding: Holding) -> None:
        self._manager.withdraw(holding.task.task_id)
        del self.holdings[holding.task.task_id]

    # -- ends from outside --------------------------------------------------------------------------

    async def cancel(self, holding: Holding, by: str) -> None:
        """Cancels a held task: at once where it has not started, else its handler is told.

        Raises Conflict where its attempt has ended, or another node has taken it, meanwhile; StorageUnavailable where
        that cannot be recorded yet: it goes on without the caller.
        """
        await promptly(self._cancel(holding, by))

    async def _cancel(self, holding: Holding, by: str) -> None:
        if self.holdings.get(holding.task.task_id) is not holding:
            # Let go since the caller looked: by another cancel, or its time-out.
            raise Conflict
        if holding.attempt is None:
            self.let_go(holding)
            await self._recorder.record(holding, wishes.cancel(by), wishes.end_cancelled)
        else:
            await self._recorder.record(holding, wishes.cancel(by))
            holding.stop.set(Reason.CANCELLED)

    async def acknowledge(self, task_id: str, sequence: int) -> bool:
        """Records up to where the submitter has received a task's messages; False where this node does not hold it.

        Raises Conflict where it is recorded already, or the task has ended or gone to another node meanwhile, and
        StorageUnavailable as `cancel` does.
        """
        holding = self.holdings.get(task_id)
        if holding is None or holding.lost:
            return False
        await promptly(self._recorder.record(holding, wishes.acknowledge(sequence)))
        return True

    def lost(self, task_id: str) -> None:
        """The lease of a held task has gone to another: stop, and write nothing more."""
        if (holding := self.holdings.get(task_id)) is not None:
            holding.lose()
            if holding.attempt is None:
                self.let_go(holding)

    async def share(self, others: Mapping[str, Amounts]) -> None:
        """What the others have: what only they could grant is theirs, and all that waits here when the first comes."""
        was_alone, changed = self.capacities.alone, self.capacities.others_have(others)
        joined = was_alone and bool(others)
        await self._give_back(lambda task: joined or self.capacities.only_elsewhere(task.requested))
        if changed:
            self.look()

    async def pause(self) -> None:
        """Takes nothing more; what waits here is anyone's, what runs goes on. To be repeated for what comes late."""
        self._claimer.held = True
        self.handover.catch_up()
        await self._give_back()

    def resume(self) -> None:
        """Takes tasks again, unless this node is shutting down."""
        if self._claimer.held and not self._closing:
            self._claimer.held = False
            self.look()

    async def leave_out(self, types: frozenset[str]) -> None:
        """Starts no tasks of these kinds, and those of all others that are served here."""
        self._claimer.types = [name for name in self._served if name not in types]
        await self._give_back(lambda task: task.type in types)
        if self._left_out - types:
            self.look()
        self._left_out = types

    async def close_doors(self) -> None:
        """Before the end of this node: pauses for good."""
        self._closing = self._claimer.held = True
        await self._claimer.stop()
        await self.pause()

    async def _give_back(self, wanted: Callable[[Task], bool] = lambda _task: True, also: Sequence[str] = ()) -> None:
        """Lets go of what waits here, all or what is wanted, and `also` of what has been forgotten already."""
        waiting = [holding for holding in self.holdings.values() if holding.attempt is None and wanted(holding.task)]
        for holding in waiting:
            self._forget(holding)
        if task_ids := [*also, *(holding.task.task_id for holding in waiting)]:
            try:
                await self._leases.give_back(task_ids)
            except StorageUnavailable:
                logger.warning("%d tasks could not be given back: their leases will run out", len(task_ids))
