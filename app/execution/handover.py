"""The handover: a task that was submitted to this node starts here, without a detour through the database.

reserve -> stored by the submission -> deliver: its attempt runs, or it waits for its resources here
        -> not stored after all     -> withdraw
"""

from collections.abc import Callable
from typing import Any

from app.clock import utc_now
from app.execution.claimer import PENDING_LIMIT, Claimer
from app.execution.start_gate import StartGate
from app.protocol.resources import Amounts
from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.resources.request import Grant, request_of
from app.storage.lines import line_of

Hold = Callable[[Task, dict[str, Any], Grant | None], None]
"""Takes a task that is leased to this node: runs its attempt by the grant, or asks for its resources."""


class Handover:
    """See the module's docstring; the submission knows it as submission.handover.Handover.

    `hold` and `grant` are the dispatcher's: they take a task, and start whatever has its resources now.
    """

    def __init__(
        self,
        node_id: str,
        claimer: Claimer,
        manager: ResourceManager,
        gate: StartGate,
        *,
        hold: Hold,
        grant: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._node_id = node_id
        self._claimer = claimer
        self._manager = manager
        self._gate = gate
        self._hold = hold
        self._grant = grant
        self._clock = clock
        self._reserved = 0
        self._started: dict[str, Grant] = {}
        # Stored behind something that a claim under way will bring: asks for its resources after that.
        self._deferred: list[tuple[Task, dict[str, Any]]] = []

    @property
    def under_way(self) -> int:
        """Tasks that are reserved, and neither delivered nor withdrawn."""
        return self._reserved + len(self._started)

    def reserve(self, task: Task) -> bool:
        """This node takes the task at once: it has room and nothing older waits in the database, or it comes first.

        So nobody passes those who wait in the database, whoever submits there and how fast.
        """
        if self._claimer.held or not self._claimer.serves(task) or self._gate.is_shut(task.submitter):
            return False
        waiting = self._reserved + len(self._deferred) + self._manager.waiting_count
        if waiting >= self._claimer.window:
            self._claimer.backlog = True
        if self._claimer.backlog and (waiting >= PENDING_LIMIT or not self._claimer.comes_first(task.priority)):
            return False
        task.lease_owner = self._node_id
        at_once = self._reserved == 0 and not self._claimer.behind and not self._gate.limits(task.submitter)
        if at_once and self._manager.free_for(task.requested):
            self._start_at_once(task)
        else:
            self._reserved += 1
        return True

    def deliver(self, task: Task, parameters: dict[str, Any]) -> None:
        """The reserved task is durable: its attempt runs, or it waits for its resources."""
        if (grant := self._started.pop(task.task_id, None)) is not None:
            self._hold(task, parameters, grant)
            return
        self._reserved -= 1
        if self._claimer.behind:
            self._deferred.append((task, parameters))
            return
        self._hold(task, parameters, None)
        self._grant()

    def withdraw(self, task: Task, refusal: Exception | None = None) -> None:
        """The reserved task was not stored after all, perhaps since a quota stands against its start."""
        self._gate.refused(task, refusal)
        if self._started.pop(task.task_id, None) is None:
            self._reserved -= 1
            return
        self._manager.release(task.task_id, self._clock(), ran_to_end=False)
        self._grant()

    def announce(self, task: Task) -> None:
        """A task was stored that nobody has reserved."""
        self._claimer.announce(line_of(task))

    def starts_at_once(self, amounts: Amounts) -> bool:
        """Whether a task that asks for so much would start now."""
        return not self._claimer.held and not self._claimer.backlog and self._manager.free_for(amounts)

    def catch_up(self) -> None:
        """Everything that came before has been claimed: what was deferred for it asks for its resources."""
        deferred, self._deferred = self._deferred, []
        for task, parameters in deferred:
            self._hold(task, parameters, None)
        self._grant()

    def _start_at_once(self, task: Task) -> None:
        """The start becomes durable with the submission itself, which spares a commit: a third of a task's life."""
        self._manager.request(request_of(task))
        (grant,) = self._manager.decide(self._clock())
        now = utc_now()
        task.allocate(now, self._node_id)
        task.start(now)
        self._started[task.task_id] = grant
