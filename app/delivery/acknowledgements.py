"""Acknowledgements: a submitter says up to where it has received the messages of a task (protocol, "Message Flow").

Cumulative: one number a task, which only grows, and never without a request. Whoever may write the task records it:
the node that holds it; else, where nobody does, the journal guarded by the task's version. Where another node holds it
the word is left in the task's row, which is as durable, and that node records it with its next heartbeat.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from app.clock import utc_now
from app.fault_points import reached
from app.protocol.history import MessageName
from app.protocol.task import Task
from app.storage.claim import Leases
from app.storage.errors import Conflict
from app.storage.journal import Journal
from app.storage.queries import Queries, StatusReader

logger = logging.getLogger("app.delivery")

BATCH = 200

RecordHeld = Callable[[str, int], Awaitable[bool]]
"""Records an acknowledgement of a task that this node holds; False where it holds no such task. Raises Conflict."""


class NotYetSent(Exception):
    """The sequence is beyond the last message of the task: nobody can have received it."""

    def __init__(self, task: Task) -> None:
        super().__init__(f"the last message of the task is number {task.sequence}")
        self.task = task


class Receipt(NamedTuple):
    """Up to where a task's messages have been acknowledged, and how many there are."""

    acknowledged: int
    last_sequence: int


class Acknowledgements:
    """See the module's docstring. `record_held` is execution's door to the tasks that this node holds."""

    def __init__(
        self, leases: Leases, journal: Journal, queries: Queries, reader: StatusReader, record_held: RecordHeld
    ) -> None:
        self._leases = leases
        self._journal = journal
        self._queries = queries
        self._reader = reader
        self._record_held = record_held

    async def acknowledge(self, task: Task, sequence: int) -> Receipt:
        """Everything up to `sequence` has been received: durable when this returns.

        Raises NotYetSent, StorageUnavailable. It races with every step of the task: whoever commits first decides,
        and this looks again.
        """
        while True:
            if sequence > task.sequence:
                raise NotYetSent(task)
            if not await self._has_news(task, sequence):
                return Receipt(task.acknowledged, task.sequence)
            try:
                acknowledged = await self._try(task, sequence)
                task = await self._reader.get(task.task_id) or task
                return Receipt(max(acknowledged, task.acknowledged), task.sequence)
            except Conflict:
                fresh = await self._reader.get(task.task_id)
                if fresh is None:
                    raise
                task = fresh

    async def record_unheard(self) -> None:
        """Records the word that was left for holders who let go of their tasks before they heard. For repetition."""
        for task, sequence in await self._leases.unheard_acknowledgements(BATCH):
            try:
                await self._record(task, sequence)
            except Conflict:
                logger.info("an acknowledgement is left to whoever looks next", extra={"task_id": task.task_id})

    async def _has_news(self, task: Task, sequence: int) -> bool:
        """Whether it says anything new.

        An Acknowledge needs none itself: a submitter that acknowledges every event of a stream would otherwise never
        come to an end.
        """
        if sequence <= task.acknowledged:
            return False
        return await self._queries.has_message_besides(MessageName.ACKNOWLEDGE, task, task.acknowledged, sequence)

    async def _try(self, task: Task, sequence: int) -> int:
        await reached("acknowledgement.before_record")
        if task.lease_owner is None:
            await self._record(task, sequence)
        elif task.lease_owner != self._leases.node_id or not await self._record_held(task.task_id, sequence):
            return await self._leases.want_acknowledgement(task.task_id, sequence)
        return sequence

    async def _record(self, task: Task, sequence: int) -> None:
        task.acknowledge(utc_now(), sequence)
        await self._journal.commit(task.change())
