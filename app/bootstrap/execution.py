"""The execution of a service: what runs tasks here, and what keeps the leases honest."""

import logging
import os
from contextlib import AsyncExitStack

from app.bootstrap.security import Security
from app.bootstrap.storage import Storage
from app.clock import clock
from app.execution.backends import child_user
from app.execution.backends.asyncio_ import AsyncioBackend
from app.execution.backends.backend import Backend
from app.execution.backends.child_user import ChildUser, ChildUserError
from app.execution.backends.process import ProcessBackend
from app.execution.deadlines import DeadlineWatch
from app.execution.dispatcher import Dispatcher
from app.execution.holding import Recorder
from app.execution.outside import OutsideExecutors
from app.execution.outside_claims import OutsideClaims
from app.execution.pausing import LOOK_S, Pausing
from app.execution.periodic import Periodic
from app.execution.runner import Runner
from app.execution.start_gate import LOOK_S as GATE_LOOK_S
from app.execution.start_gate import StartGate
from app.execution.upkeep import AllocationRules, AllocationTimeouts, Heartbeat, Rescuer
from app.protocol.resources import Resources
from app.resources.discovery import configured, discover
from app.resources.elsewhere import Elsewhere
from app.resources.manager import ResourceManager
from app.settings import ExecutionSettings, Settings
from app.task_types.definition import TaskType
from app.task_types.registry import BUILT_IN, Registry
from app.telemetry.metrics import Metrics

ALLOCATION_CHECK_S = 0.25
DEADLINE_CHECK_S = 1.0

logger = logging.getLogger("app.execution")


class Execution:
    """The Resource Manager, the dispatcher, the runner with its backends, and their upkeep."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        storage: Storage,
        security: Security,
        metrics: Metrics,
        capacity: Resources,
    ) -> None:
        self._lease_s = settings.execution.lease_s
        self.manager = ResourceManager(capacity.amounts(), storage.quotas.weights)
        self.elsewhere = Elsewhere(storage.nodes, storage.ahead, self.manager, storage.node_id)
        recorder = Recorder(storage.journal)
        self.gate = StartGate(storage.quotas)
        self.dispatcher = Dispatcher(storage.leases, self.manager, registry, recorder, self.gate, clock=clock.seconds)
        self.gate.opened = self.dispatcher.look
        self._backends = _backends(settings, registry)
        self.runner = Runner(
            recorder,
            self._backends,
            node_id=storage.node_id,
            released=self.dispatcher.released,
            observe=metrics.attempt_ended,
            discarded=metrics.outcome_discarded,
            contents=security.contents,
        )
        self.deadlines = DeadlineWatch(self.dispatcher, self.manager, recorder, storage.leases, storage.journal)
        self.pausing = Pausing(storage.controls, self.dispatcher, grace_s=settings.execution.drain_s)
        claims = OutsideClaims(
            storage.outside_leases,
            storage.journal,
            [kind.name for kind in registry if kind.runs_in == "external"],
            paused=self.pausing.pauses,
            refused=self.gate.refused,
            contents=security.contents,
        )
        self.outside = OutsideExecutors(
            storage.outside_leases,
            storage.journal,
            storage.reader,
            claims,
            cancel_grace_s=settings.execution.cancel_grace_s,
            contents=security.contents,
        )
        self.heartbeat = Heartbeat(storage.leases, self.dispatcher)
        self.rescuer = Rescuer(storage.leases, storage.journal, self.dispatcher, rescued=metrics.lease_rescue)
        self.timeouts = AllocationTimeouts(
            self.dispatcher, self.manager, recorder, _allocation_rules(settings.execution), clock=clock.seconds
        )

    async def start_backends(self, stack: AsyncExitStack) -> None:
        """Starts the backends and registers their end."""
        for backend in {id(backend): backend for backend in self._backends.values()}.values():
            await backend.start()
            stack.push_async_callback(backend.close)

    def periodics(self) -> list[Periodic]:
        """What has to be repeated."""
        return [
            Periodic("heartbeat", self._lease_s / 3, self.heartbeat.beat),
            Periodic("lease ends", min(0.5, self._lease_s / 6), self.heartbeat.stop_expired),
            Periodic("rescue", min(1.0, self._lease_s / 3), self.rescuer.rescue, spares=True),
            Periodic("deadlines at risk", DEADLINE_CHECK_S, self.deadlines.look, spares=True),
            Periodic("pausing", LOOK_S, self.pausing.look),
            Periodic("starts held back", GATE_LOOK_S, self.gate.look),
            Periodic("allocation time-outs", ALLOCATION_CHECK_S, self.timeouts.check),
        ]


def capacity_of(execution: ExecutionSettings) -> Resources:
    """What this node has, as discovered or as set. Raises CapacityError."""
    found = discover()
    return found if execution.capacity is None else configured(execution.capacity, found)


def process_backend(settings: Settings, registry: Registry) -> ProcessBackend:
    """The backend for plain functions, yet to be started. Raises ChildUserError."""
    in_process = [kind for kind in registry if kind.runs_in == "process"]
    return ProcessBackend(
        list(dict.fromkeys(kind.module for kind in in_process)),
        settings.execution.warm_processes,
        settings.execution.cancel_grace_s,
        settings.tasks.max_result_bytes,
        user=_child_user(settings),
    )


def _backends(settings: Settings, registry: Registry) -> dict[str, Backend]:
    if os.geteuid() == 0 and settings.execution.child_user is None and any(map(_is_operators_own, registry)):
        logger.warning("tasks run as root, as the service does: TASK_EXECUTOR_CHILD_USER names another user")
    return {
        "asyncio": AsyncioBackend(settings.execution.cancel_grace_s, settings.tasks.max_result_bytes),
        "process": process_backend(settings, registry),
    }


def _child_user(settings: Settings) -> ChildUser | None:
    """As whom children run; None: as the service does. Raises ChildUserError."""
    if settings.execution.child_user is None:
        return None
    user, kept = child_user.find(settings.execution.child_user), settings.storage.data_dir
    if any(path.exists() and path.stat().st_uid == user.uid for path in (kept, *kept.glob("postgres/*"))):
        raise ChildUserError(f"{user.name!r} owns {kept} or the Postgres in it: name a user that owns nothing there")
    return user


def _is_operators_own(kind: TaskType) -> bool:
    return kind.runs_in == "process" and not kind.module.startswith(BUILT_IN)


def _allocation_rules(execution: ExecutionSettings) -> AllocationRules:
    return AllocationRules(
        timeout_s=execution.allocation_timeout_s,
        max_attempts=execution.allocation_max_attempts,
        backoff_initial_s=execution.backoff_initial_s,
        backoff_max_s=execution.backoff_max_s,
        when_busy=execution.when_busy,
    )
