"""Deadlines at risk: a task that is not expected to be over in time says so before it fails.

Once a task, as a message to its submitter. Looked at are the tasks that this node holds, those due first before others,
and those in the database whose deadline is nearer than tasks of their kind usually run.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from app.clock import utc_now
from app.execution.dispatcher import Dispatcher
from app.execution.holding import Holding, Recorder
from app.protocol.task import Task
from app.protocol.times import format_time
from app.resources.manager import ResourceManager
from app.storage.claim import Leases
from app.storage.errors import Conflict
from app.storage.journal import Journal

logger = logging.getLogger("app.execution")

LOOKED_AT = 100
"""Held tasks in one look, the earliest deadlines first: an estimate costs up to half a millisecond."""

BATCH = 200


class DeadlineWatch:
    """See the module's docstring."""

    def __init__(
        self, dispatcher: Dispatcher, manager: ResourceManager, recorder: Recorder, leases: Leases, journal: Journal
    ) -> None:
        self._dispatcher = dispatcher
        self._manager = manager
        self._recorder = recorder
        self._leases = leases
        self._journal = journal

    async def look(self) -> None:
        """One look at both. Raises StorageUnavailable."""
        now = utc_now()
        for holding in self._due_first():
            end = self._manager.expected_end(holding.task.task_id, now.timestamp())
            deadline = holding.task.deadline
            if end is not None and deadline is not None and now < deadline and end > deadline.timestamp():
                await self._warn_held(holding, end)
        for task in await self._leases.nearer_than_their_run(self._manager.expected_runs(), BATCH):
            await self._warn_stored(task, now)

    def _due_first(self) -> list[Holding]:
        held = self._dispatcher.holdings.values()
        dated = [each for each in held if each.task.deadline is not None and each.task.warning_json is None]
        return sorted(dated, key=lambda each: each.task.deadline or datetime.max.replace(tzinfo=UTC))[:LOOKED_AT]

    async def _warn_held(self, holding: Holding, end: float) -> None:
        def warn(task: Task, now: datetime) -> None:
            if task.state.terminal or task.lease_owner is None:
                raise Conflict
            task.put_at_risk(now, at_risk(end))

        try:
            await self._recorder.record(holding, warn)
        except Conflict:
            logger.info("a task ended before its warning", extra={"task_id": holding.task.task_id})

    async def _warn_stored(self, task: Task, now: datetime) -> None:
        end = now.timestamp() + self._manager.expected_runs()[task.type]
        task.put_at_risk(now, at_risk(end))
        try:
            await self._journal.commit(task.change())
        except Conflict:
            logger.info("a task went on before its warning", extra={"task_id": task.task_id})


def at_risk(end: float) -> dict[str, Any]:
    """`details.warning` of a task that is expected to be over at `end` (seconds since the epoch), which is too late."""
    return {
        "kind": "deadline_at_risk",
        "message": "the task is not expected to be over before its deadline",
        "expected_end": format_time(datetime.fromtimestamp(end, UTC)),
    }
