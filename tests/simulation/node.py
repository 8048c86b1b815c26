"""A node of the simulated world: the real parts, wired as bootstrap wires them, and its life as a process."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from app.delivery.acknowledgements import Acknowledgements
from app.delivery.following import HistoryFollower
from app.delivery.watch import Watch
from app.execution.cancellation import Cancellation
from app.execution.deadlines import DeadlineWatch
from app.execution.dispatcher import Dispatcher
from app.execution.draining import drain
from app.execution.holding import Recorder
from app.execution.periodic import Periodic
from app.execution.runner import Runner
from app.execution.start_gate import StartGate
from app.execution.upkeep import AllocationRules, AllocationTimeouts, Heartbeat, Rescuer
from app.outbound.rules import OutboundRules
from app.protocol.history import Item
from app.protocol.messages import RetryPolicy
from app.protocol.quotas import NOTHING_SET
from app.protocol.resources import Amounts
from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.resources.request import request_of
from app.security.sealing import Sealer
from app.storage.errors import StorageUnavailable
from app.storage.quotas import Quotas
from app.submission.callbacks import Callbacks
from app.submission.handler import SubmissionHandler
from app.submission.outlook import Outlook
from app.task_types.registry import Registry
from tests.simulation.database import ModelDatabase
from tests.simulation.handlers import Ledger, SimulatedBackend
from tests.simulation.line import Line, Weather
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.storage import (
    NOWHERE,
    SimulatedHeads,
    SimulatedJournal,
    SimulatedLeases,
    SimulatedQueries,
    SimulatedReader,
)

LEASE_S = 2.0
RULES = AllocationRules(timeout_s=3.0, max_attempts=3, backoff_initial_s=0.2, backoff_max_s=1.0, when_busy="queue")

Tell = Callable[["Node", Iterable[str]], None]


async def _no_secret(_task_id: str) -> None:
    """Nobody is called in this world."""


@dataclass(frozen=True)
class Ground:
    """What all nodes of a world stand on. `tell` brings news from a node to the others, `died` says that one has."""

    loop: VirtualLoop
    model: ModelDatabase
    weather: Weather
    ledger: Ledger
    registry: Registry
    dice: random.Random
    tell: Tell
    died: "Callable[[Node], None]"
    wall_clock: Callable[[], float]


class Node:
    """One process. Its parts are those of app/bootstrap; `beside` says how many others serve."""

    def __init__(self, name: str, ground: Ground, capacity: Amounts, beside: Callable[[], int]) -> None:
        self.name = name
        self.process = Process(name)
        self.ready = False
        self._ground = ground
        self._beside = beside
        self.watch = Watch()
        self.manager = ResourceManager(capacity)
        self.backend = SimulatedBackend(ground.ledger, capacity, ground.dice, self._die)
        self._build_storage()
        self._build_execution()

    def _build_storage(self) -> None:
        model, line = self._ground.model, self._open_line
        self.journal = SimulatedJournal(model, line, self.name, LEASE_S)
        self.leases = SimulatedLeases(model, line, self.name, LEASE_S)
        self.reader = SimulatedReader(model, line)
        self.queries = SimulatedQueries(model, line)
        self.heads = SimulatedHeads(model, line)
        self.journal.on_commit(self._committed)

    def _build_execution(self) -> None:
        recorder, clock = Recorder(self.journal), self._ground.wall_clock
        gate = StartGate(Quotas(NOWHERE, NOTHING_SET))
        self.dispatcher = Dispatcher(self.leases, self.manager, self._ground.registry, recorder, gate, clock=clock)
        self._runner = Runner(
            recorder,
            {"asyncio": self.backend},
            node_id=self.name,
            released=self.dispatcher.released,
            observe=lambda _kind, _seconds: None,
            discarded=lambda _outcome: None,
        )
        self.heartbeat = Heartbeat(self.leases, self.dispatcher)
        self.rescuer = Rescuer(self.leases, self.journal, self.dispatcher, rescued=lambda _count: None)
        self.deadlines = DeadlineWatch(self.dispatcher, self.manager, recorder, self.leases, self.journal)
        self.timeouts = AllocationTimeouts(self.dispatcher, self.manager, recorder, RULES, clock=clock)
        self.submission = SubmissionHandler(
            self.journal,
            self.queries,
            self._ground.registry,
            self.dispatcher.handover,
            outlook=Outlook(
                capacities=self.dispatcher.capacities,
                starts_at_once=self.dispatcher.handover.starts_at_once,
                expected_end=lambda task: self.manager.soonest_end(request_of(task), clock()),
            ),
            retry=RetryPolicy(initial_s=0.2, max_s=1.0),
            callbacks=Callbacks(OutboundRules(), Sealer([bytes(32)]), _no_secret),
        )
        self.cancellation = Cancellation(
            self.dispatcher, self.leases, self.journal, self.reader, tell=lambda ids: self._ground.tell(self, ids)
        )
        self.acknowledgements = Acknowledgements(
            self.leases, self.journal, self.queries, self.reader, self.dispatcher.acknowledge
        )
        self.follower = HistoryFollower(self.queries, self.heads, self.watch)

    # -- its life -----------------------------------------------------------------------------------

    def start(self, *, heir: bool = False) -> None:
        """Starts the process. An heir bears the name of a dead node, and takes over what that one held."""
        self.run(self._serve(heir=heir))

    def run(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Has this process do something."""
        return self._ground.loop.create_task(work, context=self.process.context.run(copy_context))

    def kill(self) -> None:
        """Ends the process as kill -9 does."""
        self.ready = False
        self._ground.loop.kill(self.process)

    def _die(self) -> None:
        """An attempt takes the whole process with it."""
        self.kill()
        self._ground.died(self)

    async def stop(self, grace_s: float) -> None:
        """Drains, as on SIGTERM, then ends."""
        self.ready = False
        await drain(self.dispatcher, grace_s)
        self._ground.loop.kill(self.process)

    async def _serve(self, *, heir: bool) -> None:
        while heir:
            try:
                await self.rescuer.recover_own()
                break
            except StorageUnavailable:
                # The process would end here, and be started again.
                await asyncio.sleep(0.1)
        await self._share()
        self.dispatcher.start(self._runner)
        for periodic in self._periodics():
            periodic.start()
        self.ready = True

    def _periodics(self) -> Sequence[Periodic]:
        return [
            Periodic("heartbeat", LEASE_S / 3, self.heartbeat.beat),
            Periodic("lease ends", LEASE_S / 6, self.heartbeat.stop_expired),
            Periodic("rescue", LEASE_S / 2, self.rescuer.rescue),
            Periodic("deadlines at risk", LEASE_S / 2, self.deadlines.look),
            Periodic("allocation time-outs", LEASE_S / 2, self.timeouts.check),
            Periodic("unheard acknowledgements", LEASE_S, self.acknowledgements.record_unheard),
            Periodic("unheard cancels", LEASE_S, self.cancellation.record_unheard),
            Periodic("node report", LEASE_S, self._share),
        ]

    async def _share(self) -> None:
        await self.dispatcher.share({f"node {number}": self.manager.capacity for number in range(self._beside())})

    # -- news ---------------------------------------------------------------------------------------

    def _committed(self, changes: Sequence[tuple[Task, Sequence[Item]]]) -> None:
        ids = [task.task_id for task, _ in changes]
        self.watch.changed(ids)
        self._ground.tell(self, ids)

    def hear(self, task_ids: frozenset[str] | None) -> None:
        """News from another node."""
        self.watch.changed(task_ids)
        self.heartbeat.hear(task_ids or ())
        self.dispatcher.look()

    def _open_line(self) -> Line:
        return Line(self._ground.weather, self._ground.dice)
