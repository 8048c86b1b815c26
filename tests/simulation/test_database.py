"""The model of the database, held against the real Postgres: the same statements, the same answers, the same rows."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.protocol.reasons import Reason
from app.protocol.states import State
from app.protocol.task import Task
from app.storage.claim import Leases
from app.storage.errors import Conflict, DuplicateMessage
from app.storage.journal import Journal
from app.storage.lines import Walk, Want
from app.storage.rows import task_of
from tests.simulation.database import ModelDatabase
from tests.simulation.line import Line, Weather
from tests.simulation.storage import SimulatedJournal, SimulatedLeases
from tests.storage.stored import Store, accepted_task, open_store

STEPS = 60
NODES = ("node-a", "node-b")
LEASE_S = 60.0


@dataclass
class Side:
    """One of the two: the real storage, or the model's. A task object of its own for each task."""

    journal: Journal
    leases: Mapping[str, Leases]
    tasks: dict[str, Task] = field(default_factory=dict)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with open_store(database_url) as opened:
        yield opened


class Comparison:
    """Takes the same random step on both sides, and compares what came of it."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._dice = random.Random(seed)
        self._ids = random.Random(seed)
        self._model = ModelDatabase(lambda: datetime.now(UTC))
        dice, weather = random.Random(seed), Weather(slowest_s=0.0003)
        simulated = {name: SimulatedLeases(self._model, lambda: Line(weather, dice), name, LEASE_S) for name in NODES}
        real = {name: Leases(store.database, node_id=name, lease_s=LEASE_S) for name in NODES}
        self.sides = (
            Side(Journal(store.database, lease_s=LEASE_S, observe=lambda _size, _seconds: None), real),
            Side(SimulatedJournal(self._model, lambda: Line(weather, dice), "node-a", LEASE_S), simulated),
        )

    async def step(self) -> None:
        act = self._dice.choice(
            (self._submit, self._submit, self._claim, self._claim, self._write, self._write, self._write, self._lapse,
             self._rescue, self._extend, self._give_back, self._want, self._unheard, self._overdue, self._near)
        )  # fmt: skip
        await act()
        await self._compare_rows()

    async def close(self) -> None:
        for side in self.sides:
            for leases in side.leases.values() if side is self.sides[0] else ():
                await leases.close()
        await self.sides[0].journal.close()

    # -- steps ----------------------------------------------------------------------------------------

    async def _submit(self) -> None:
        """A new task; sometimes of a key that is taken, sometimes a rejected one of such a key."""
        key, rejected = f"key-{self._dice.randrange(12)}", self._dice.random() < 0.2
        ahead_s = self._dice.choice((None, None, None, -1, 50))
        deadline = None if ahead_s is None else datetime.now(UTC) + timedelta(seconds=ahead_s)
        members: dict[str, Any] = {"message_id": key, "deadline": deadline, "priority": self._dice.randrange(3)}
        members["requested"] = {"cpu": self._dice.choice((10, 20))}
        first, now = accepted_task(**members), datetime.now(UTC)

        async def submit(side: Side) -> object:
            task = accepted_task(**members, task_id=first.task_id, submitted_at=first.submitted_at)
            if rejected:
                task = accepted_task(**members, task_id=first.task_id, submitted_at=first.submitted_at)
                task.state = State.VALIDATING
                task.reject(now, {"kind": "validation_failed"})
            await side.journal.commit(task.change())
            side.tasks[task.task_id] = task
            return "stored"

        await self._both(submit)

    async def _claim(self) -> None:
        node, limit = self._dice.choice(NODES), self._dice.choice((1, 2, 5))

        async def claim(side: Side) -> object:
            leases = side.leases[node]
            seen = await leases.look(Walk(None, 2), Walk(None, 2), Walk(None, 0))
            taken = await leases.claim([Want(line, limit) for line in (*seen.near, *seen.far)])
            return seen, self._taken(side, taken)

        await self._both(claim)

    async def _write(self) -> None:
        """Some step of some task, by whoever had it last: it may be another's by now."""
        if not self.sides[0].tasks:
            return
        task_id = self._dice.choice(sorted(self.sides[0].tasks))
        draw, now = self._dice.random(), datetime.now(UTC)

        async def write(side: Side) -> object:
            task = side.tasks[task_id]
            if task.state.terminal:
                task.acknowledge(now, task.sequence)
            elif task.lease_owner is not None:
                _advance(task, draw, now)
            try:
                await side.journal.commit(task.change())
            except Conflict:
                del side.tasks[task_id]
                raise
            return task.status_json()

        await self._both(write)

    async def _lapse(self) -> None:
        past = datetime.now(UTC) - timedelta(seconds=5)
        held = [row for row in self._model.rows.values() if row["lease_owner"] is not None]
        for row in held:
            row["lease_expires_at"] = past
        await self._store.sql.execute(
            "UPDATE tasks SET lease_expires_at = $1 WHERE lease_owner IS NOT NULL", past
        )  # fmt: skip

    async def _rescue(self) -> None:
        node = self._dice.choice(NODES)
        holding = [row["task_id"] for row in self._model.rows.values() if row["lease_owner"] == node][:1]

        async def rescue(side: Side) -> object:
            return self._taken(side, await side.leases[node].take_expired(100, holding))

        await self._both(rescue)

    async def _overdue(self) -> None:
        node = self._dice.choice(NODES)

        async def overdue(side: Side) -> object:
            return self._taken(side, await side.leases[node].take_overdue(2))

        await self._both(overdue)

    async def _extend(self) -> None:
        node, some = self._dice.choice(NODES), self._some()

        async def extend(side: Side) -> object:
            return await side.leases[node].extend(some)

        await self._both(extend)

    async def _give_back(self) -> None:
        node, some = self._dice.choice(NODES), self._some()
        everything = self._dice.random() < 0.2

        async def give_back(side: Side) -> object:
            await (side.leases[node].give_back_own() if everything else side.leases[node].give_back(some))
            return None

        await self._both(give_back)

    async def _want(self) -> None:
        if not self._model.rows:
            return
        task_id, sequence = self._dice.choice(sorted(self._model.rows)), self._dice.randrange(1, 9)
        cancel = self._dice.random() < 0.5

        async def want(side: Side) -> object:
            if cancel:
                await side.leases["node-a"].want_cancel(task_id, "alice")
                return None
            return await side.leases["node-a"].want_acknowledgement(task_id, sequence)

        await self._both(want)

    async def _unheard(self) -> None:
        async def unheard(side: Side) -> object:
            leases = side.leases["node-a"]
            found = [*await leases.unheard_acknowledgements(10), *await leases.unheard_cancels(10)]
            return [(task.task_id, word) for task, word in found]

        await self._both(unheard)

    async def _near(self) -> None:
        run_s = self._dice.choice((5.0, 100.0))

        async def near(side: Side) -> object:
            found = await side.leases["node-a"].nearer_than_their_run({"echo": run_s, "other": 1.0}, 10)
            return [task.task_id for task in found]

        await self._both(near)

    # -- comparing ------------------------------------------------------------------------------------

    async def _both(self, step: Callable[[Side], Awaitable[object]]) -> None:
        real, modelled = [await _outcome(step, side) for side in self.sides]
        assert real == modelled

    async def _compare_rows(self) -> None:
        rows = {str(row["task_id"]): row for row in await self._store.sql.fetch("SELECT * FROM tasks")}
        assert rows.keys() == self._model.rows.keys()
        for task_id, row in rows.items():
            modelled = self._model.rows[task_id]
            assert task_of(row).status_json() == task_of(modelled).status_json()
            for column in ("version", "lease_owner", "cancel_requested_by", "acknowledgement_wanted", "shape", "due"):
                assert row[column] == modelled[column], column
            items = await self._store.items(task_id)
            assert items == self._model.history[task_id]

    def _some(self) -> list[str]:
        known = sorted(self._model.rows)
        return self._dice.sample(known, self._dice.randint(0, len(known)))

    @staticmethod
    def _taken(side: Side, tasks: list[Task]) -> object:
        side.tasks.update((task.task_id, task) for task in tasks)
        return [(task.task_id, task.version, task.lease_owner) for task in tasks]


async def _outcome(step: Callable[[Side], Awaitable[object]], side: Side) -> object:
    try:
        return await step(side)
    except (Conflict, DuplicateMessage) as refusal:
        return type(refusal)


def _advance(task: Task, draw: float, now: datetime) -> None:
    match task.state:
        case State.WAITING:
            task.request_resources(now)
        case State.RESOURCE_ALLOCATION:
            task.allocate(now, "node-a")
            task.start(now)
        case State.EXECUTING if draw < 0.3:
            task.report_progress(now, draw, {"draw": draw})
        case State.EXECUTING if draw < 0.6:
            task.retry_later(now, now, Reason.EXECUTION_ERROR, {"kind": "E"}, {"cpu_s": 0.1})
        case State.EXECUTING if draw < 0.8:
            task.hand_back(now)
        case _:
            task.complete(now, '{"done":true}', {"cpu_s": 0.1})


@pytest.mark.parametrize("seed", range(6))
async def test_the_model_does_what_postgres_does(store: Store, seed: int) -> None:
    comparison = Comparison(store, seed)
    try:
        for _ in range(STEPS):
            await comparison.step()
    finally:
        await comparison.close()
