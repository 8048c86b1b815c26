"""The parts of app/storage that ask the database, here asking the model over a line that loses things.

Of the journal only its one statement is replaced: batching, folding, fences and doubts are the real code. `open_line`
makes a connection of its own for each that has one in the service.
"""

from collections.abc import Callable, Mapping, Sequence

from app.protocol.history import Item, MessageName
from app.protocol.task import Task
from app.storage.batching import Batcher
from app.storage.claim import Held, Leases
from app.storage.database import Database
from app.storage.errors import StorageUnavailable
from app.storage.folding import Fold
from app.storage.journal import Journal
from app.storage.lines import Seen, Walk, Want
from app.storage.queries import MAX_READ, Heads, Queries, StatusReader
from tests.simulation.database import ModelDatabase
from tests.simulation.line import Line

OpenLine = Callable[[], Line]


NOWHERE = Database("postgresql://nobody@nowhere/none")
"""Never connected to: every question goes to the model."""


class SimulatedJournal(Journal):
    """The journal, whose statement is the model's."""

    def __init__(self, model: ModelDatabase, open_line: OpenLine, node_id: str, lease_s: float) -> None:
        super().__init__(NOWHERE, lease_s=lease_s, observe=lambda _size, _seconds: None)
        self._model = model
        self._node_id = node_id
        self._line = open_line()
        self._looks = open_line()

    async def _execute(self, folds: list[Fold]) -> tuple[set[str], dict[str, Exception]]:
        return await self._line.ask(lambda: self._model.write(folds, self._lease_s, self._node_id)), {}

    async def _recorded(self, task_id: str, head: str) -> bool:
        return await surely(self._looks, lambda: self._model.recorded(task_id, head))


async def surely(line: Line, operation: Callable[[], bool]) -> bool:
    """Asks until there is an answer."""
    while True:
        try:
            return await line.ask(operation)
        except StorageUnavailable:
            continue


class SimulatedLeases(Leases):
    """The leases of one node, kept by the model."""

    def __init__(self, model: ModelDatabase, open_line: OpenLine, node_id: str, lease_s: float) -> None:
        self.node_id = node_id
        self.lease_s = lease_s
        self._model = model
        self._claim_line = open_line()
        self._upkeep_line = open_line()

    async def look(self, near: Walk, far: Walk, inside: Walk) -> Seen:
        return await self._claim_line.ask(lambda: self._model.look(near, far, inside))

    async def claim(self, wants: Sequence[Want]) -> list[Task]:
        return await self._claim_line.ask(lambda: self._model.claim(self.node_id, self.lease_s, wants))

    async def take_expired(self, limit: int, holding: Sequence[str] = ()) -> list[Task]:
        return await self._upkeep_line.ask(lambda: self._model.take_expired(self.node_id, self.lease_s, limit, holding))

    async def take_own(self, limit: int) -> list[Task]:
        return await self._upkeep_line.ask(lambda: self._model.take_own(self.node_id, self.lease_s, limit))

    async def give_back_own(self) -> None:
        await self._upkeep_line.ask(lambda: self._model.give_back(self.node_id, None))

    async def take_overdue(self, limit: int) -> list[Task]:
        return await self._upkeep_line.ask(lambda: self._model.take_overdue(self.node_id, self.lease_s, limit))

    async def nearer_than_their_run(self, runs: Mapping[str, float], limit: int) -> list[Task]:
        return await self._upkeep_line.ask(lambda: self._model.nearer_than_their_run(runs, limit))

    async def extend(self, task_ids: Sequence[str]) -> Held:
        return await self._upkeep_line.ask(lambda: self._model.extend(self.node_id, self.lease_s, task_ids))

    async def give_back(self, task_ids: Sequence[str]) -> None:
        await self._upkeep_line.ask(lambda: self._model.give_back(self.node_id, task_ids))

    async def want_cancel(self, task_id: str, by: str) -> None:
        await self._upkeep_line.ask(lambda: self._model.want_cancel(task_id, by))

    async def want_acknowledgement(self, task_id: str, sequence: int) -> int:
        return await self._upkeep_line.ask(lambda: self._model.want_acknowledgement(task_id, sequence))

    async def unheard_acknowledgements(self, limit: int) -> list[tuple[Task, int]]:
        return await self._upkeep_line.ask(lambda: self._model.unheard_acknowledgements(limit))

    async def unheard_cancels(self, limit: int) -> list[tuple[Task, str]]:
        return await self._upkeep_line.ask(lambda: self._model.unheard_cancels(limit))


class SimulatedReader(StatusReader):
    """Reads single tasks, in batches."""

    def __init__(self, model: ModelDatabase, open_line: OpenLine) -> None:
        self._model = model
        self._line = open_line()
        self._batcher: Batcher[str, Task | None] = Batcher(self._read, MAX_READ)

    async def _read(self, task_ids: list[str]) -> list[Task | Exception | None]:
        return await self._line.ask(lambda: [self._model.get(task_id) for task_id in task_ids])


class SimulatedHeads(Heads):
    """Reads how long histories are, in batches."""

    def __init__(self, model: ModelDatabase, open_line: OpenLine) -> None:
        self._model = model
        self._line = open_line()
        self._batcher: Batcher[str, int] = Batcher(self._read, MAX_READ)

    async def _read(self, task_ids: list[str]) -> list[int | Exception]:
        return await self._line.ask(lambda: [len(self._model.history[task_id]) for task_id in task_ids])


class SimulatedQueries(Queries):
    """Those reads that the simulation needs. They come from a pool: each has a line of its own."""

    def __init__(self, model: ModelDatabase, open_line: OpenLine) -> None:
        self._model = model
        self._open_line = open_line

    async def find_submission(self, submitter: str, idempotency_key: str) -> Task | None:
        return await self._open_line().ask(lambda: self._model.find_submission(submitter, idempotency_key))

    async def messages(self, task: Task, after: int, limit: int) -> list[Item]:
        return await self._open_line().ask(
            lambda: [item for item in self._model.history[task.task_id] if item.sequence > after][:limit]
        )

    async def has_message_besides(self, name: MessageName, task: Task, after: int, until: int) -> bool:
        return await self._open_line().ask(
            lambda: any(
                after < item.sequence <= until and item.name is not name for item in self._model.history[task.task_id]
            )
        )
