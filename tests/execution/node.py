"""One node of the service without its doors: the real parts, wired as bootstrap wires them, on a real database."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from pydantic import RootModel

from app.execution.backends.asyncio_ import AsyncioBackend
from app.execution.cancellation import Cancellation
from app.execution.dispatcher import Dispatcher
from app.execution.draining import drain
from app.execution.holding import Recorder
from app.execution.runner import Runner
from app.execution.start_gate import StartGate
from app.execution.upkeep import AllocationRules, AllocationTimeouts, Heartbeat, Rescuer
from app.outbound.rules import OutboundRules
from app.protocol.history import first_break
from app.protocol.messages import RetryPolicy
from app.protocol.quotas import NOTHING_SET
from app.protocol.resources import Amounts, Resources
from app.protocol.states import TRANSITIONS, State
from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.resources.request import request_of
from app.security.sealing import Sealer
from app.storage.claim import Leases
from app.storage.database import Database, driver_dsn
from app.storage.delivery_log import DeliveryLog
from app.storage.errors import StorageUnavailable
from app.storage.journal import Journal
from app.storage.queries import Queries, StatusReader
from app.storage.quotas import Quotas
from app.submission.callbacks import Callbacks
from app.submission.handler import SubmissionHandler
from app.submission.outlook import Outlook
from app.task_types.context import TaskContext
from app.task_types.definition import task_type
from app.task_types.registry import Registry
from tests.storage.stored import item_of
from tests.support.waiting import eventually

Handler = Callable[[dict[str, Any], TaskContext], Any]
QUEUE = AllocationRules(timeout_s=30, max_attempts=3, backoff_initial_s=0.01, backoff_max_s=0.02, when_busy="queue")
COUNT = AllocationRules(timeout_s=30, max_attempts=3, backoff_initial_s=0.01, backoff_max_s=0.02, when_busy="count")


async def a_turn() -> None:
    """Lets the loop go round once."""
    loop = asyncio.get_running_loop()
    turn = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn


class Anything(RootModel[dict[str, Any]]):
    """Any object."""


class Stage:
    """What handlers do, seen and steered from the test: who began, in which order, how many at once."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.running = 0
        self.most = 0
        self.go = asyncio.Event()

    async def wait_for_go(self, parameters: dict[str, Any], _context: TaskContext) -> dict[str, Any]:
        """Waits until the test says go."""
        name = str(parameters.get("name"))
        self.began.append(name)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
        finally:
            self.running -= 1
        self.ended.append(name)
        return {"name": name}

    async def until_began(self, count: int) -> None:
        """Waits until so many attempts have begun."""

        async def enough() -> bool:
            return len(self.began) >= count

        await eventually(enough, f"{count} attempts begun", within_s=30)


def registry_of(handlers: Mapping[str, Handler], **options: Any) -> Registry:
    """Kinds of task that run these functions in the loop; they take any object and ask for 1 cpu."""
    registry = Registry()
    for name, handler in handlers.items():
        registry.add(_kind(name, handler, options).__task_type__)
    return registry


def _kind(name: str, handler: Handler, options: dict[str, Any]) -> Any:
    async def call(parameters: Anything, context: TaskContext) -> Any:
        return await handler(parameters.root, context)

    return task_type(name, parameters=Anything, resources=Resources(cpu=1), **options)(call)


@dataclass
class Node:
    """One node. Its upkeep does nothing by itself: a test calls `beat`, `rescue` and `check` as time would."""

    node_id: str
    database: Database
    journal: Journal
    quotas: Quotas
    reader: StatusReader
    manager: ResourceManager
    leases: Leases
    gate: StartGate
    dispatcher: Dispatcher
    submission: SubmissionHandler
    heartbeat: Heartbeat
    rescuer: Rescuer
    timeouts: AllocationTimeouts
    cancellation: Cancellation
    runner: Runner
    backend: AsyncioBackend
    sql: asyncpg.Connection
    told: list[str] = field(default_factory=list)
    late_s: float = 0.0
    """How far this node's clock for requests is ahead."""
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def submit(self, kind: str, parameters: dict[str, Any] | None = None, **members: Any) -> str:
        """Submits a task; returns its id. `priority` and `deadline` go into the body, the rest into the task.

        By alice, if no `submitter` is named.
        """
        submitter = members.pop("submitter", "alice")
        body: dict[str, Any] = {"priority": members.pop("priority", 1)}
        if "deadline" in members:
            body["deadline"] = members.pop("deadline")
        message_id = members.pop("message_id", f"m-{time.time_ns()}")
        body["task_specification"] = {"type": kind, "parameters": parameters or {}, **members}
        message = {
            "type": "submit_task",
            "header": {"message_id": message_id, "timestamp": "2026-01-01T00:00:00Z"},
            "body": body,
        }
        return (await self.submission.submit(json.dumps(message).encode(), submitter)).task_id

    async def task(self, task_id: str) -> Task:
        """As the database has it."""
        found = await self.reader.get(task_id)
        assert found is not None
        return found

    async def reach(self, task_id: str, *states: State) -> Task:
        """Waits until the task is in one of these states, terminal ones if none are named."""
        wanted = states or (State.COMPLETED, State.FAILED, State.REJECTED)

        async def there() -> Task | None:
            task = await self.task(task_id)
            return task if task.state in wanted else None

        found = await eventually(
            there, f"{task_id} in {' or '.join(wanted)}", within_s=30, passing=(StorageUnavailable,)
        )
        assert found is not None
        return found

    async def names(self, task_id: str) -> list[str]:
        """The names of the messages in a task's history."""
        async with self.looking:
            rows = await self.sql.fetch("SELECT name FROM history WHERE task_id = $1 ORDER BY sequence", task_id)
        return [row["name"] for row in rows]

    async def lapse(self, *task_ids: str) -> None:
        """The leases of these tasks have run out."""
        statement = (
            "UPDATE tasks SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE task_id = ANY($1::uuid[])"
        )
        async with self.looking:
            await self.sql.execute(statement, task_ids)

    async def check_at_rest(self) -> None:
        """Nothing is held any more, and whatever happened left a whole and legal history."""

        async def idle() -> bool:
            return not any(holding.attempt for holding in self.dispatcher.holdings.values())

        await eventually(idle, "all attempts ended")
        assert self.manager.allocated == {}
        assert self.manager.running_count == 0
        # One snapshot: other nodes may be at work.
        async with self.looking, self.sql.transaction(isolation="repeatable_read", readonly=True):
            await check_histories(self.sql)


async def check_histories(sql: asyncpg.Connection) -> None:
    """Chains are whole, moves legal, rows agree with their history, and only what executes holds anything."""
    rows = await sql.fetch("SELECT *, task_id::text AS id FROM tasks")
    for row in rows:
        items = [
            item_of(item)
            for item in await sql.fetch("SELECT * FROM history WHERE task_id = $1 ORDER BY sequence", row["task_id"])
        ]
        assert first_break(row["id"], items) is None
        assert (row["sequence"], row["head_hash"], row["state"]) == (
            items[-1].sequence,
            items[-1].hash,
            items[-1].status,
        )
        for before, after in itertools.pairwise(items):
            assert after.status == before.status or after.status in TRANSITIONS[before.status]
        assert sum(item.status.terminal for item in items) == (1 if State(row["state"]).terminal else 0)
        assert row["allocated"] == "{}" or row["state"] == State.EXECUTING
        names = [str(item.name) for item in items]
        assert names.count("ReleaseResources") == names.count("ResourcesReleased")
        assert names.count("ResourcesAllocated") - names.count("ResourcesReleased") == (row["allocated"] != "{}")


@asynccontextmanager
async def open_node(
    url: str,
    registry: Registry,
    *,
    node_id: str = "node-a",
    capacity: Amounts | None = None,
    rules: AllocationRules = QUEUE,
    sql_url: str | None = None,
    start: bool = True,
) -> AsyncIterator[Node]:
    """A node at work; it is drained at the end, without grace. Leases are long: a test lets them lapse itself."""
    node = _assemble(
        url, registry, node_id, capacity or {"cpu": 4000}, rules, await asyncpg.connect(driver_dsn(sql_url or url))
    )
    await node.backend.start()
    if start:
        node.dispatcher.start(node.runner)
    try:
        yield node
    finally:
        await drain(node.dispatcher, 0)
        await node.backend.close()
        for part in (node.leases, node.reader, node.journal, node.database, node.sql):
            await part.close()


def _assemble(
    url: str, registry: Registry, node_id: str, capacity: Amounts, rules: AllocationRules, sql: asyncpg.Connection
) -> Node:
    database = Database(url, pool_size=3)
    journal = Journal(database, lease_s=60, observe=lambda _size, _seconds: None)
    leases = Leases(database, node_id=node_id, lease_s=60)
    reader = StatusReader(database)
    quotas = Quotas(database, NOTHING_SET)
    manager = ResourceManager(capacity, quotas.weights)
    recorder = Recorder(journal)
    gate = StartGate(quotas)
    dispatcher = Dispatcher(leases, manager, registry, recorder, gate, clock=lambda: time.time() + node.late_s)
    gate.opened = dispatcher.look
    backend = AsyncioBackend(cancel_grace_s=5, max_result_bytes=100_000)
    told: list[str] = []
    node = Node(
        node_id=node_id,
        database=database,
        journal=journal,
        quotas=quotas,
        reader=reader,
        manager=manager,
        leases=leases,
        gate=gate,
        dispatcher=dispatcher,
        submission=SubmissionHandler(
            journal,
            Queries(database),
            registry,
            dispatcher.handover,
            outlook=Outlook(
                capacities=dispatcher.capacities,
                starts_at_once=dispatcher.handover.starts_at_once,
                expected_end=lambda task: manager.soonest_end(request_of(task), time.time()),
            ),
            retry=RetryPolicy(initial_s=0.01, max_s=0.02),
            callbacks=Callbacks(OutboundRules(), Sealer([bytes(32)]), DeliveryLog(database).sealed_secret),
        ),
        heartbeat=Heartbeat(leases, dispatcher),
        rescuer=Rescuer(leases, journal, dispatcher, rescued=lambda _count: None),
        timeouts=AllocationTimeouts(dispatcher, manager, recorder, rules, clock=lambda: time.time() + node.late_s),
        cancellation=Cancellation(dispatcher, leases, journal, reader, tell=told.extend),
        runner=Runner(
            recorder,
            {"asyncio": backend},
            node_id=node_id,
            released=dispatcher.released,
            observe=lambda _kind, _seconds: None,
            discarded=lambda _outcome: None,
        ),
        backend=backend,
        sql=sql,
        told=told,
    )
    return node
