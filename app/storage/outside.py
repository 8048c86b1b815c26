"""The leases of executors outside: they claim over HTTP, so each call brings the name of its holder along.

The same leases and the same fence as the nodes' own (claim.py); an owner's name begins with `executor/`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.protocol.task import Task
from app.storage.claim import TAKE
from app.storage.database import Database
from app.storage.lines import COME_BACK, Seen, Walk, Want
from app.storage.marked_lines import MarkedLines, put_back
from app.storage.marks import Marks
from app.storage.rows import task_of

# One that was claimed, lost and cancelled meanwhile is not to be run again: its canceller's word is in the row.
_TAKE = f"{TAKE}, t.cancel_requested_by"

_GIVE_BACK = f"""
UPDATE tasks AS t SET lease_owner = NULL, lease_expires_at = NULL, version = version + 1
WHERE task_id = ANY($2::uuid[]) AND lease_owner = $1 AND state IN ('ResourceAllocation', 'Waiting')
RETURNING {COME_BACK}"""

# The time of the attempt's start is the database's to tell: the executor's own word would set its own time-out.
_EXTEND = """
UPDATE tasks AS t SET lease_expires_at = clock_timestamp() + make_interval(secs => $3)
WHERE task_id = $1 AND lease_owner = $2 AND state = 'Executing'
RETURNING cancel_requested_by,
    CASE WHEN acknowledgement_wanted > acknowledged_sequence THEN acknowledgement_wanted END AS acknowledged,
    (SELECT max(recorded_at) FROM history AS h
     WHERE h.task_id = t.task_id AND name = 'ExecutionStarted'
         AND recorded_at >= t.submitted_at - interval '1 day') AS started_at"""


class Claimed(NamedTuple):
    """A task that an executor has taken; `cancelled_by` names who wants it to stop before it has begun."""

    task: Task
    cancelled_by: str | None


class Extended(NamedTuple):
    """A lease that was kept: the word that others left for its holder, and when the attempt began.

    `cancelled_by` names who wants it to stop, `acknowledged` the sequence up to which the submitter has received.
    """

    cancelled_by: str | None
    acknowledged: int | None
    started_at: datetime


class OutsideLeases:
    """See the module's docstring. `lease_s` in seconds, `marks` the node's. All raise StorageUnavailable."""

    def __init__(self, database: Database, *, lease_s: float, marks: Marks) -> None:
        self.lease_s = lease_s
        self._marks = marks
        self._connection = database.dedicated("outside")
        self._lines = MarkedLines(self._connection, marks, _TAKE)

    async def look(self, near: Walk, far: Walk, inside: Walk) -> Seen:
        """As `Leases.look`."""
        return await self._lines.look(near, far, inside)

    async def claim(self, owner: str, wants: Sequence[Want], kids: Sequence[str] | None) -> list[Claimed]:
        """Takes as many tasks of each line, its first ones, or as are there; most urgent first.

        Of what came encrypted only what the node can open for its executor: `kids` are the keys that it has.
        """
        rows = await self._lines.claim(owner, self.lease_s, wants, kids)
        claimed = [Claimed(task_of(row), row["cancel_requested_by"]) for row in rows]
        return sorted(claimed, key=lambda each: (each.task.priority, each.task.task_id))

    async def give_back(self, owner: str, task_ids: Sequence[str]) -> None:
        """Lets go of tasks that were claimed and have not started."""
        if task_ids:
            put_back(self._marks, await self._connection.fetch(_GIVE_BACK, owner, list(task_ids)))

    async def extend(self, owner: str, task_id: str) -> Extended | None:
        """Keeps the lease of a task that the owner executes; None where it is not this owner's any more."""
        rows = await self._connection.fetch(_EXTEND, task_id, owner, self.lease_s)
        return Extended(*rows[0]) if rows else None

    async def close(self) -> None:
        """Closes the connection; leases run out by themselves."""
        await self._connection.close()
