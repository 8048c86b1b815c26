"""Builds the service from its settings and takes it down again: the only place that knows every room."""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from app.api.service import Service
from app.delivery.acknowledgements import Acknowledgements
from app.delivery.following import HistoryFollower
from app.delivery.places import StreamPlaces
from app.delivery.watch import Watch
from app.execution.backends.asyncio_ import AsyncioBackend
from app.execution.backends.backend import Backend
from app.execution.backends.process import ProcessBackend
from app.execution.cancellation import Cancellation
from app.execution.dispatcher import Dispatcher
from app.execution.holding import Recorder
from app.execution.periodic import Periodic
from app.execution.runner import Runner
from app.execution.upkeep import AllocationRules, AllocationTimeouts, Heartbeat, Rescuer
from app.protocol.history import Item
from app.protocol.messages import RetryPolicy
from app.protocol.resources import Amounts, Resources
from app.protocol.task import Task
from app.resources.discovery import configured, discover
from app.resources.manager import ResourceManager
from app.security.tokens import TokenVerifier, token_verifier
from app.settings import ExecutionSettings, Settings, StorageSettings
from app.storage import guard, migrations
from app.storage.claim import Leases
from app.storage.database import Database
from app.storage.embedded import EmbeddedPostgres
from app.storage.errors import StorageUnavailable
from app.storage.journal import Journal
from app.storage.listen import News
from app.storage.nodes import Nodes
from app.storage.queries import Heads, Queries, StatusReader
from app.submission.handler import SubmissionHandler
from app.submission.retry import Retry
from app.task_types.registry import Registry, load
from app.telemetry.metrics import Metrics, Observation
from app.telemetry.task_events import TaskObserver

logger = logging.getLogger("app.bootstrap")

HISTORY_WEEKS_AHEAD = 4
ALLOCATION_CHECK_S = 0.25
DAY_S = 24 * 3600.0


@asynccontextmanager
async def running_service(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
    """A running service; taken down in the reverse order, attempts first.

    Raises what stops a start, each with one sentence: EmbeddedPostgresError, DataDirectoryInUse, SchemaMismatch,
    UnfitDatabase, StorageUnavailable, TaskTypeError, KeyConfigurationError.
    """
    async with AsyncExitStack() as stack:
        registry = load(settings.tasks.task_types)
        verifier = _verifier(settings)
        capacity = _capacity(settings.execution)
        url, node_id = await _database_url(settings.storage, stack)
        database = Database(url, pool_size=settings.storage.database_pool)
        stack.push_async_callback(database.close)
        await _check_database(database, settings.storage)
        assembly = _Assembly(settings, registry, metrics, database, node_id, capacity)
        await assembly.start(stack)
        service = Service(
            registry=registry,
            verifier=verifier,
            submission=assembly.submission,
            reader=assembly.reader,
            queries=assembly.queries,
            cancellation=assembly.cancellation,
            retry=Retry(assembly.submission),
            acknowledgements=assembly.acknowledgements,
            follower=HistoryFollower(assembly.queries, Heads(database), assembly.watch),
            streams=StreamPlaces(),
            manager=assembly.manager,
            nodes=assembly.nodes,
            watch=assembly.watch,
            metrics=metrics,
            database=database,
            node_id=node_id,
            max_body_bytes=settings.server.max_body_bytes,
            ready=True,
        )
        try:
            yield service
        finally:
            service.ready = False


class _Assembly:
    """The wiring: who is handed what."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        metrics: Metrics,
        database: Database,
        node_id: str,
        capacity: Resources,
    ) -> None:
        execution = settings.execution
        self._execution = execution
        self._database = database
        self._embedded = settings.storage.database_url is None
        self.manager = ResourceManager(capacity.amounts())
        self.watch = Watch()
        self.news = News(database, self._heard)
        self.journal = Journal(
            database, lease_s=execution.lease_s, observe=metrics.journal_commit, conflicted=metrics.journal_conflict
        )
        self.reader = StatusReader(database)
        self.queries = Queries(database)
        self.nodes = Nodes(database, node_id=node_id, lease_s=execution.lease_s)
        self.leases = Leases(database, node_id=node_id, lease_s=execution.lease_s)
        recorder = Recorder(self.journal)
        self.dispatcher = Dispatcher(self.leases, self.manager, registry, recorder, clock=time.time)
        self.backends = _backends(settings, registry)
        self.runner = Runner(
            recorder,
            self.backends,
            node_id=node_id,
            released=self.dispatcher.released,
            observe=metrics.attempt_ended,
        )
        self.heartbeat = Heartbeat(self.leases, self.dispatcher)
        self.rescuer = Rescuer(self.leases, self.journal, self.dispatcher, rescued=metrics.lease_rescue)
        self.timeouts = AllocationTimeouts(
            self.dispatcher, self.manager, recorder, _allocation_rules(execution), clock=time.time
        )
        self.cancellation = Cancellation(self.dispatcher, self.leases, self.journal, self.reader, tell=self.news.tell)
        self.acknowledgements = Acknowledgements(
            self.leases, self.journal, self.queries, self.reader, self.dispatcher.acknowledge
        )
        self.submission = SubmissionHandler(
            self.journal,
            self.queries,
            registry,
            self.dispatcher,
            capacity=lambda: self.manager.capacity,
            starts_at_once=self.dispatcher.starts_at_once,
            retry=RetryPolicy(initial_s=execution.backoff_initial_s, max_s=execution.backoff_max_s),
        )
        self._observer = TaskObserver(metrics)
        self.journal.on_commit(self._committed)
        metrics.observe_with(self._observe)

    async def start(self, stack: AsyncExitStack) -> None:
        """Starts everything; registers its end. What is started last is ended first."""
        for closing in (self.journal.close, self.reader.close, self.leases.close):
            stack.push_async_callback(closing)
        for backend in {id(backend): backend for backend in self.backends.values()}.values():
            await backend.start()
            stack.push_async_callback(backend.close)
        self.news.start()
        stack.push_async_callback(self.news.close)
        await self._report()
        stack.push_async_callback(self._leave)
        if self._embedded:
            # One data directory, one server, one node: whoever held these is dead. Before the first claim, which
            # takes leases in the same name.
            await self.rescuer.recover_own()
        self.dispatcher.start(self.runner)
        lease_s = self._execution.lease_s
        for periodic in (
            Periodic("heartbeat", lease_s / 3, self.heartbeat.beat),
            Periodic("node report", lease_s / 3, self._report),
            Periodic("rescue", min(1.0, lease_s / 3), self.rescuer.rescue),
            Periodic("unheard acknowledgements", lease_s / 3, self.acknowledgements.record_unheard),
            Periodic("allocation time-outs", ALLOCATION_CHECK_S, self.timeouts.check),
            Periodic("history partitions", DAY_S, self._prepare_history),
        ):
            periodic.start()
            stack.push_async_callback(periodic.close)
        # Before the heartbeats end: what drains still needs its leases.
        stack.push_async_callback(self.dispatcher.drain, self._execution.drain_s)

    def _committed(self, changes: list[tuple[Task, Sequence[Item]]]) -> None:
        for task, items in changes:
            self._observer.committed(task, items)
        ids = [task.task_id for task, _ in changes]
        self.watch.changed(ids)
        self.news.tell(ids)

    def _heard(self, task_ids: frozenset[str] | None) -> None:
        self.watch.changed(task_ids)
        self.dispatcher.look()

    async def _report(self) -> None:
        self.news.alone = await self.nodes.report(self.manager.snapshot()) == 0
        await self.dispatcher.share(alone=self.news.alone)

    async def _leave(self) -> None:
        try:
            await self.nodes.leave()
        except StorageUnavailable:
            # The others see the entry run out.
            logger.warning("the database is away: this node's entry is left to run out")

    async def _prepare_history(self) -> None:
        await guard.prepare_history(self._database, HISTORY_WEEKS_AHEAD)

    def _observe(self) -> Observation:
        return Observation(
            queue_age_seconds=self.dispatcher.queue_age_s(datetime.now(UTC)),
            database_connections=self._database.connections(),
            waiting={"resources": self.manager.waiting_count},
            running=self.manager.running_count,
            allocated=_units(self.manager.allocated),
            capacity=_units(self.manager.capacity),
        )


def _verifier(settings: Settings) -> TokenVerifier:
    security = settings.security
    return token_verifier(
        settings.storage.data_dir,
        issuer=security.jwt_issuer,
        audience=security.jwt_audience,
        keys_file=security.jwt_keys_file,
        secret=security.jwt_secret,
        max_lifetime_s=security.jwt_max_lifetime_s,
    )


async def _database_url(storage: StorageSettings, stack: AsyncExitStack) -> tuple[str, str]:
    """The database's URL and this node's name, with the embedded server started where there is no other."""
    if storage.database_url is not None:
        return storage.database_url, _new_node_id()
    server = EmbeddedPostgres(storage.data_dir)
    url = await server.start()
    stack.push_async_callback(server.stop)
    await migrations.upgrade(url)
    return url, _own_node_id(storage.data_dir / "node-id")


def _new_node_id() -> str:
    return f"node-{secrets.token_hex(4)}"


def _own_node_id(path: Path) -> str:
    """The name under which this data directory's node has always gone."""
    known = path.read_text().strip() if path.exists() else ""
    if known:
        return known
    # A file that a crash has left empty counts as none. Whole or not there: renamed when written.
    draft = path.with_suffix(".new")
    draft.write_text(_new_node_id())
    draft.replace(path)
    return path.read_text().strip()


async def _check_database(database: Database, storage: StorageSettings) -> None:
    await guard.check_version(database)
    if not storage.unsafe_database:
        await guard.check_durability(database)
    await migrations.check(database)
    await guard.prepare_history(database, HISTORY_WEEKS_AHEAD)


def _capacity(execution: ExecutionSettings) -> Resources:
    found = discover()
    return found if execution.capacity is None else configured(execution.capacity, found)


def _backends(settings: Settings, registry: Registry) -> dict[str, Backend]:
    limit, grace_s = settings.tasks.max_result_bytes, settings.execution.cancel_grace_s
    in_process = [kind for kind in registry if kind.runs_in == "process"]
    return {
        "asyncio": AsyncioBackend(grace_s, limit),
        "process": ProcessBackend(
            list(dict.fromkeys(kind.module for kind in in_process)),
            settings.execution.warm_processes,
            grace_s,
            limit,
        ),
    }


def _allocation_rules(execution: ExecutionSettings) -> AllocationRules:
    return AllocationRules(
        timeout_s=execution.allocation_timeout_s,
        max_attempts=execution.allocation_max_attempts,
        backoff_initial_s=execution.backoff_initial_s,
        backoff_max_s=execution.backoff_max_s,
        when_busy=execution.when_busy,
    )


def _units(amounts: Amounts) -> dict[str, float]:
    """Whole units in place of thousandths."""
    return {unit: thousandths / 1000 for unit, thousandths in amounts.items()}
