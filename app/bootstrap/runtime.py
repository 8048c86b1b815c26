"""The whole service: every room built, wired to the others, started, and taken down in the reverse order."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing

from app import fault_points
from app.api.policies import Open
from app.api.service import Service
from app.bootstrap.audit import AuditHeads
from app.bootstrap.delivery import Delivery
from app.bootstrap.execution import Execution, capacity_of
from app.bootstrap.limits import Limits
from app.bootstrap.outbound import outbound_client
from app.bootstrap.security import Security
from app.bootstrap.storage import Storage, open_database
from app.bootstrap.submission import Submission
from app.clock import utc_now
from app.execution.cancellation import Cancellation
from app.execution.draining import drain
from app.execution.holding import queue_age_s
from app.execution.periodic import Periodic
from app.protocol.history import Item
from app.protocol.resources import Amounts
from app.protocol.task import Task
from app.settings import FaultSettings, Settings
from app.storage import quotas
from app.storage.errors import StorageUnavailable
from app.storage.listen import News
from app.storage.readiness import Readiness
from app.task_types.registry import load
from app.telemetry.metrics import Metrics, Observation
from app.telemetry.task_events import TaskObserver

logger = logging.getLogger("app.bootstrap")

DEAD_ROWS_S = 15.0
SWEEP_S = 2.0
DAY_S = 24 * 3600.0
FORGET_RATES_S = 60.0


@asynccontextmanager
async def running_service(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
    """A running service; taken down in the reverse order, attempts first.

    Raises what stops a start: an error of one of the rooms, each with one sentence for the operator.
    """
    _arm(settings.faults)
    async with AsyncExitStack() as stack:
        outbound = stack.enter_context(closing(outbound_client(settings.outbound)))
        registry = load(settings.tasks.task_types)
        security = Security(settings)
        await security.load(stack)
        capacity = capacity_of(settings.execution)
        storage = Storage(await open_database(settings.storage, stack), settings, metrics, security.contents.kids)
        execution = Execution(settings, registry, storage, security, metrics, capacity)
        revocations = await security.follow(storage.database)
        delivery = Delivery(settings, storage, execution, outbound, security, metrics)
        runtime = Runtime(settings, storage, execution, delivery, security, metrics)
        submission = Submission(settings.execution, registry, storage, execution, security, delivery.callbacks)
        limits = Limits(settings.security, storage, stack)
        await runtime.start(stack)
        service = Service(
            registry=registry,
            verifier=security.verifier,
            token_keys=security.token_keys,
            addresses=limits.addresses,
            calls=limits.calls,
            quotas=storage.quotas,
            gate=execution.gate,
            revocations=revocations,
            submission=submission.handler,
            encrypted=submission.encrypted,
            published=security.published,
            contents=security.contents,
            reader=storage.reader,
            queries=storage.queries,
            readiness=Readiness(storage.database, storage.journal),
            cancellation=runtime.cancellation,
            retry=submission.retry,
            acknowledgements=delivery.acknowledgements,
            follower=delivery.follower,
            places=delivery.places,
            delivery_log=storage.delivery_log,
            webhooks=delivery.webhooks.sender,
            webhook_secrets=delivery.webhooks.secrets,
            manager=execution.manager,
            elsewhere=execution.elsewhere,
            pausing=execution.pausing,
            outside=execution.outside,
            controls=storage.controls,
            nodes=storage.nodes,
            watch=delivery.watch,
            metrics=metrics,
            database=storage.database,
            node_id=storage.node_id,
            max_body_bytes=settings.server.max_body_bytes,
            doors={Open.DOCUMENTS: settings.security.documents, Open.METRICS: settings.security.metrics},
            max_result_bytes=settings.tasks.max_result_bytes,
            drain=runtime.drain,
            ready=True,
        )
        try:
            yield service
        finally:
            service.ready, service.closing = False, True


class Runtime:
    """What ties the rooms together while the service runs: commits and news go to those who wait for them."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        execution: Execution,
        delivery: Delivery,
        security: Security,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._execution = execution
        self._delivery = delivery
        self._security = security
        self._audit = AuditHeads(settings.storage, storage.database)
        self._observer = TaskObserver(metrics)
        self.news = News(storage.database, self._heard)
        self.cancellation = Cancellation(
            execution.dispatcher, storage.leases, storage.journal, storage.reader, tell=self.news.tell
        )
        storage.journal.on_commit(self._committed)
        metrics.observe_with(self._observe)

    async def start(self, stack: AsyncExitStack) -> None:
        """Starts everything; registers its end. What is started last is ended first."""
        storage, execution = self._storage, self._execution
        storage.close_with(stack)
        await storage.quotas.start()
        await execution.start_backends(stack)
        await self._report()
        stack.push_async_callback(self._leave)
        self.news.start()
        stack.push_async_callback(self.news.close)
        if storage.embedded:
            # One data directory, one server, one node: whoever held these is dead. Before the first claim, which
            # takes leases in the same name.
            await execution.rescuer.recover_own()
        self._delivery.start(stack)
        execution.dispatcher.start(execution.runner)
        self._audit.close_with(stack)
        rooms = (execution, self._delivery, self._security, self._audit)
        for periodic in (*(each for room in rooms for each in room.periodics()), *self._periodics()):
            periodic.start()
            stack.push_async_callback(periodic.close)
        # Before the heartbeats end: what drains still needs its leases.
        stack.push_async_callback(self.drain)

    async def drain(self) -> None:
        """Takes no task any more, and hands back what does not finish in time; a second call finds nothing to do."""
        await self._execution.pausing.close()
        await drain(self._execution.dispatcher, self._settings.execution.drain_s)

    def _periodics(self) -> list[Periodic]:
        return [
            Periodic("node report", self._settings.execution.lease_s / 3, self._report),
            Periodic("unheard cancels", self._settings.execution.lease_s / 3, self.cancellation.record_unheard),
            Periodic("weeks to come", DAY_S, self._storage.prepare_weeks),
            Periodic("retention", DAY_S / 4, self._storage.prune),
            Periodic("count of dead rows", DEAD_ROWS_S, self._storage.count_dead_rows),
            Periodic("sweep of what waits", SWEEP_S, self._sweep, spares=True),
            Periodic("quotas", quotas.LOOK_S, self._storage.quotas.look),
            Periodic("rates that nobody uses", FORGET_RATES_S, self._storage.rates.forget),
        ]

    def _committed(self, changes: list[tuple[Task, Sequence[Item]]]) -> None:
        for task, items in changes:
            self._observer.committed(task, items)
            self._storage.marks.written(task)
        ids = [task.task_id for task, _ in changes]
        self._delivery.watch.changed(ids)
        self.news.tell(ids)
        if any(task.type in self._execution.outside.claims.types for task, _ in changes):
            self._execution.outside.claims.look()
        if called := [task.task_id for task, _ in changes if task.callback]:
            self._delivery.webhooks.sender.nudge(called)

    def _heard(self, task_ids: frozenset[str] | None) -> None:
        self._delivery.watch.changed(task_ids)
        self._execution.heartbeat.hear(task_ids or ())
        self._execution.dispatcher.look()
        self._execution.outside.claims.look()

    async def _sweep(self) -> None:
        if await self._storage.sweep.sweep():
            self._execution.dispatcher.look()
            self._execution.outside.claims.look()

    async def _report(self) -> None:
        others = await self._storage.nodes.report(self._execution.manager.snapshot())
        self.news.alone = not others
        await self._execution.dispatcher.share(others)

    async def _leave(self) -> None:
        try:
            await self._storage.nodes.leave()
        except StorageUnavailable:
            # The others see the entry run out.
            logger.warning("the database is away: this node's entry is left to run out")

    def _observe(self) -> Observation:
        manager = self._execution.manager
        return Observation(
            queue_age_seconds=queue_age_s(self._execution.dispatcher.holdings.values(), utc_now()),
            database_connections=self._storage.database.connections(),
            waiting={"resources": manager.waiting_count},
            running=manager.running_count,
            allocated=_units(manager.allocated),
            capacity=_units(manager.capacity),
        )


def _arm(faults: FaultSettings) -> None:
    fault_points.arm(faults.fault_points, faults.fault_seed)
    if faults.fault_points:
        logger.warning(
            "this service fails on purpose, which is for tests only: fault points %s, seed %d",
            faults.fault_points,
            faults.fault_seed,
        )


def _units(amounts: Amounts) -> dict[str, float]:
    """Whole units in place of thousandths."""
    return {unit: thousandths / 1000 for unit, thousandths in amounts.items()}
