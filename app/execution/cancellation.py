"""Cancelling a task wherever it is: held here, held by another node, or waiting in the database."""

import logging
from collections.abc import Callable, Iterable

from app.clock import utc_now
from app.execution.dispatcher import Dispatcher
from app.execution.retry import stop_error
from app.fault_points import reached
from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.storage.claim import Leases
from app.storage.errors import Conflict
from app.storage.journal import Journal
from app.storage.queries import StatusReader

logger = logging.getLogger("app.execution")

BATCH = 200


class AlreadyOver(Exception):
    """The task is terminal: there is nothing to cancel."""

    def __init__(self, task: Task) -> None:
        super().__init__(f"the task is {task.state} already")
        self.task = task


class Cancellation:
    """See the module's docstring. `tell` wakes the other nodes."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        leases: Leases,
        journal: Journal,
        reader: StatusReader,
        *,
        tell: Callable[[Iterable[str]], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._leases = leases
        self._journal = journal
        self._reader = reader
        self._tell = tell

    async def cancel(self, task: Task, by: str) -> None:
        """A queued task is Failed when this returns; a running one's handler has been told, or will be.

        Raises AlreadyOver, StorageUnavailable. It races with starting, ending and rescue: whoever commits first
        decides, and this looks again.
        """
        while True:
            try:
                await self._try(task, by)
                return
            except Conflict:
                fresh = await self._reader.get(task.task_id)
                if fresh is None:
                    raise
                task = fresh

    async def record_unheard(self) -> None:
        """Cancels what was to be cancelled by a holder that let go of it before it heard. For repetition.

        Raises StorageUnavailable.
        """
        for task, by in await self._leases.unheard_cancels(BATCH):
            try:
                await self.cancel(task, by)
            except AlreadyOver:
                logger.info("a cancel came too late", extra={"task_id": task.task_id})

    async def _try(self, task: Task, by: str) -> None:
        if task.state.terminal:
            raise AlreadyOver(task)
        await reached("cancel.before_record")
        holding = self._dispatcher.holdings.get(task.task_id)
        if holding is not None and not holding.lost:
            await self._dispatcher.cancel(holding, by)
        elif task.lease_owner is not None:
            await self._leases.want_cancel(task.task_id, by)
            self._tell([task.task_id])
        else:
            now = utc_now()
            task.request_cancel(now, by)
            task.fail(now, Reason.CANCELLED, stop_error(task, Reason.CANCELLED))
            await self._journal.commit(task.change())
