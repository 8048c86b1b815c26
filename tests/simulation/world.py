"""A world made from a seed, its run, and what must hold when it has come to rest."""

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field

from app.protocol.history import Item
from app.protocol.times import format_time
from tests.faults.evidence import Evidence, Message, TaskRow
from tests.faults.invariants import violations
from tests.simulation.database import Laws, ModelDatabase
from tests.simulation.faults import Site, Trouble
from tests.simulation.handlers import Ledger, simulated_registry
from tests.simulation.line import Weather
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.node import Ground, Node
from tests.simulation.submitter import Submitter
from tests.simulation.surroundings import Surroundings

CAPACITY = {"cpu": 3000}
TROUBLE_S = 6.0
REST_WITHIN_S = 120.0
"""Trouble over, everything has ended by then: leases, backoffs, clocks that are 15 s off, and the work itself."""


@dataclass
class Report:
    """What a run came to: what it violated, its story, and a digest of everything that was stored."""

    seed: int
    violations: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    seconds: float = 0.0
    tasks: int = 0
    digest: str = ""

    def __str__(self) -> str:
        """All of it, for people."""
        rest = f"{self.tasks} tasks, at rest after {self.seconds:.1f} s"
        found = self.violations or ["nothing was violated"]
        return "\n".join([f"seed {self.seed}", *self.story, rest, *found])


class World:
    """One world. `laws` are the database's; a mutation breaks one of them, or the code."""

    def __init__(self, seed: int, laws: Laws | None = None) -> None:
        self.report = Report(seed)
        self._dice = random.Random(seed)
        self._loop = VirtualLoop()  # type: ignore[abstract]  # nobody here asks for sockets or threads
        self._surroundings = Surroundings(self._loop, self._dice)
        self._model = ModelDatabase(self._surroundings.true_time, laws or Laws())
        self._weather = Weather()
        self._ledger = Ledger(begun=self._has_begun)
        self._ground = Ground(
            self._loop,
            self._model,
            self._weather,
            self._ledger,
            simulated_registry(),
            self._dice,
            self._tell,
            self._died,
            lambda: self._surroundings.now().timestamp(),
        )
        self._alone = self._dice.random() < 0.2
        self._nodes: list[Node] = []
        self._everyone: list[Node] = []
        for _ in range(1 if self._alone else self._dice.choice((2, 2, 3))):
            self._start_node()
        network = Network(self._nodes, self._weather, self._dice)
        self._submitters = [
            Submitter(f"message-{number}", network, self._dice, self._surroundings.true_time)
            for number in range(self._dice.randint(2, 9))
        ]

    def run(self) -> Report:
        """From its beginning to its rest."""
        with self._surroundings.installed(), errors_logged(self._loop.failures):
            trouble = Trouble(self._site())
            work = [self._world_task(trouble.go_on(TROUBLE_S))]
            work += [self._world_task(submitter.live(TROUBLE_S)) for submitter in self._submitters]
            self._loop.run_while(lambda: True, until_s=TROUBLE_S + 0.001)
            self._loop.run_while(lambda: not work[0].done(), until_s=TROUBLE_S + 60)
            trouble.end()
            self._loop.run_while(
                lambda: not (all(each.done() for each in work) and self._at_rest()),
                until_s=self._loop.time() + REST_WITHIN_S,
            )
            self._conclude(work)
            self._loop.end([node.process for node in self._everyone])
        return self.report

    # -- its inhabitants ------------------------------------------------------------------------------

    def _site(self) -> Site:
        return Site(self._loop, self._nodes, self._weather, self._dice, self._replace, self._tell_story)

    def _start_node(self, before: Node | None = None) -> None:
        """A new node, or, where a node serves alone on its data, the next process of the same one."""
        heir = self._alone and before is not None
        number = len(self._everyone)
        node = Node("node-0" if heir else f"node-{number}", self._ground, CAPACITY, lambda: len(self._nodes) - 1)
        self._everyone.append(node)
        self._nodes.append(node)
        node.start(heir=heir)

    def _replace(self, gone: Node) -> None:
        if gone not in self._nodes:
            return
        if self._alone:
            # One data directory, one process: the next one finds the last one dead.
            gone.kill()
        self._nodes.remove(gone)
        self._start_node(gone)
        self._tell_story(f"{self._nodes[-1].name} starts in the place of {gone.name}")

    def _died(self, node: Node) -> None:
        """Whoever watches over the processes starts another one."""
        self._tell_story(f"{node.name} dies of a handler")
        restart_s = self._dice.choice((0.1, 1.0))
        self._loop.call_later(restart_s, self._replace, node, context=Context())

    def _world_task(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        return self._loop.create_task(work, context=Context())

    def _tell(self, sender: Node, task_ids: Iterable[str]) -> None:
        """News from one node to the others: soon, late, or never."""
        told = frozenset(task_ids)
        for node in self._nodes:
            if node is not sender and self._dice.random() >= self._weather.loss:
                delay_s = self._dice.choice((0.001, 0.005, 0.02, 1.0))
                self._loop.call_later(delay_s, node.hear, told, context=node.process.context.copy())

    def _tell_story(self, line: str) -> None:
        self.report.story.append(f"{self._loop.time():8.3f} {line}")

    # -- what is known --------------------------------------------------------------------------------

    def _has_begun(self, task_id: str, attempt: int) -> bool:
        begun = sum(item.name == "ExecutionStarted" for item in self._model.history[task_id])
        return begun >= attempt

    def _at_rest(self) -> bool:
        # A submission whose commit is in doubt has its resources already, and gives them back when it knows.
        busy = (node.dispatcher.holdings or node.dispatcher.handover.under_way for node in self._living())
        return self._model.at_rest() and not any(busy)

    def _living(self) -> list[Node]:
        return [node for node in self._nodes if node.process.alive]

    def _conclude(self, work: "list[asyncio.Task[None]]") -> None:
        report = self.report
        report.seconds, report.tasks = self._loop.time(), len(self._model.rows)
        report.digest = self._digest()
        report.violations = [
            *self._unfinished(work),
            *self._ledger.faults,
            *self._model.trespasses,
            *violations(self._evidence()),
        ]

    def _unfinished(self, work: "list[asyncio.Task[None]]") -> Iterator[str]:
        """What the world itself saw go wrong."""
        yield from self._loop.failures
        for each in work:
            if not each.done():
                yield "I7: a submitter waits for ever"
            elif (error := each.exception()) is not None:
                yield f"a submitter failed: {error!r}"
        if not self._at_rest():
            yield f"I7: {dict(self._model.states())} is no rest"
        for node in self._living():
            if node.manager.allocated or node.manager.waiting_count:
                yield f"I8: {node.name} holds {node.manager.allocated}, and {node.manager.waiting_count} wait"

    def _evidence(self) -> Evidence:
        model = self._model
        seen = Evidence(runs={task_id: self._ledger.runs[task_id] for task_id in self._ledger.runs})
        for task_id, row in model.rows.items():
            task = model.get(task_id)
            assert task is not None
            seen.rows[task_id] = TaskRow(
                str(task.state), task.attempt, task.sequence, task.head_hash, task.allocated,
                leased=row["lease_owner"] is not None,
                acknowledged=task.acknowledged, key=(task.submitter, task.idempotency_key),
            )  # fmt: skip
            seen.histories[task_id] = [_message(item) for item in model.history[task_id]]
        for submitter in self._submitters:
            submitter.notes.testify(seen)
        return seen

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for task_id in sorted(self._model.history):
            for item in self._model.history[task_id]:
                digest.update(item.hash.encode())
        return digest.hexdigest()


@contextmanager
def errors_logged(found: list[str]) -> Iterator[None]:
    """What the service logs as an error is one: nothing that happens here may come as a surprise to it."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(f"I10: {record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")

    logger, handler = logging.getLogger("app"), Handler(logging.ERROR)
    before = logger.level, logger.propagate
    logger.level, logger.propagate = logging.ERROR, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


def _message(item: Item) -> Message:
    return Message(
        item.sequence, str(item.name), str(item.sender), str(item.recipient), format_time(item.recorded_at),
        str(item.status), item.message, item.previous_hash, item.hash,
    )  # fmt: skip


def run(seed: int, laws: Callable[[], Laws] = Laws) -> Report:
    """The run of a seed."""
    return World(seed, laws()).run()
