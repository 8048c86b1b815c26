"""Leases: taking tasks that nobody holds, keeping those one holds, taking over those whose holder is gone.

A lease is held by a node (`lease_owner`) until `lease_expires_at` on the database's clock. Taking one
raises the task's version, so that whatever the former holder still writes is refused by the journal.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from app.protocol.messages import TIMEOUT_MAX_S
from app.protocol.task import Task
from app.storage.database import Database
from app.storage.errors import Conflict
from app.storage.lines import COME_BACK, Seen, Walk, Want
from app.storage.marked_lines import MarkedLines, put_back
from app.storage.marks import Marks
from app.storage.rows import COLUMNS, in_order, task_of

SWEEP_TIMEOUT_S = 60.0
"""Seconds for a look through some ten millions of dead entries on a busy machine: a claim may give up, a rescue must
not."""

TAKE = f"""
UPDATE tasks AS t
SET lease_owner = $1, lease_expires_at = clock_timestamp() + make_interval(secs => $2), due = false,
    version = t.version + 1
FROM picked
WHERE t.task_id = picked.task_id
RETURNING {", ".join("t." + name for name in COLUMNS.split(", "))}"""

_EXPIRED = f"""
WITH picked AS (
    SELECT task_id FROM tasks
    WHERE lease_owner IS NOT NULL AND lease_expires_at < clock_timestamp()
        AND NOT (lease_owner = $1 AND task_id = ANY($4::uuid[]))
    LIMIT $3 FOR UPDATE SKIP LOCKED
){TAKE}"""

_OWN = f"""
WITH picked AS (
    SELECT task_id FROM tasks WHERE lease_owner = $1 AND state = 'Executing' LIMIT $3 FOR UPDATE SKIP LOCKED
){TAKE}"""

_RETURN_OWN = """
UPDATE tasks SET lease_owner = NULL, lease_expires_at = NULL, version = version + 1
WHERE lease_owner = $1 AND state IN ('ResourceAllocation', 'Waiting')"""

# Not clock_timestamp(): it may change within the statement, so the index would be read whole to hold it against each.
_OVERDUE = f"""
WITH picked AS (
    SELECT task_id FROM tasks
    WHERE deadline IS NOT NULL AND finished_at IS NULL AND deadline <= statement_timestamp() AND lease_owner IS NULL
    ORDER BY deadline LIMIT $3 FOR UPDATE SKIP LOCKED
){TAKE}"""

# The rows are locked in the order in which the journal writes them, or the two could lock each other out: as the ids
# stand in the array. Ordered by the id itself, a plan would go through whole weeks in that order.
_HELD = """
WITH held AS (
    SELECT t.task_id FROM unnest($2::uuid[]) WITH ORDINALITY AS wanted(task_id, place)
    JOIN tasks AS t ON t.task_id = wanted.task_id
    WHERE t.task_id BETWEEN $3 AND $4 AND t.lease_owner = $1
    ORDER BY wanted.place FOR UPDATE OF t
)"""

_EXTEND = f"""{_HELD}
UPDATE tasks AS t SET lease_expires_at = clock_timestamp() + make_interval(secs => $5)
FROM held WHERE t.task_id = held.task_id AND t.task_id BETWEEN $3 AND $4
RETURNING t.task_id, t.cancel_requested_by,
    CASE WHEN t.acknowledgement_wanted > t.acknowledged_sequence THEN t.acknowledgement_wanted END AS acknowledged"""

_RETURN = f"""{_HELD}
UPDATE tasks AS t SET lease_owner = NULL, lease_expires_at = NULL, version = t.version + 1
FROM held WHERE t.task_id = held.task_id AND t.task_id BETWEEN $3 AND $4
    AND t.state IN ('ResourceAllocation', 'Waiting')
RETURNING {COME_BACK}"""

_WANT_CANCEL = """
UPDATE tasks SET cancel_requested_by = coalesce(cancel_requested_by, $2)
WHERE task_id = $1 AND lease_owner IS NOT NULL
RETURNING task_id"""

_WANT_ACKNOWLEDGEMENT = """
UPDATE tasks SET acknowledgement_wanted = greatest(acknowledgement_wanted, $2)
WHERE task_id = $1 AND lease_owner IS NOT NULL
RETURNING acknowledgement_wanted"""

# By the index on deadlines. Times are by kind, in seconds.
_NEARER_THAN_THEIR_RUN = f"""
SELECT {COLUMNS} FROM tasks JOIN unnest($1::text[], $2::double precision[]) AS run(kind, seconds) ON type = kind
WHERE deadline IS NOT NULL AND finished_at IS NULL AND lease_owner IS NULL AND warning IS NULL
    AND deadline BETWEEN statement_timestamp() AND statement_timestamp() + make_interval(secs => $3)
    AND deadline < statement_timestamp() + make_interval(secs => seconds)
ORDER BY deadline LIMIT $4"""

# Word that was left for a holder who had let go of the task before it heard.
_UNHEARD = f"""
SELECT {COLUMNS}, acknowledgement_wanted FROM tasks
WHERE acknowledgement_wanted > acknowledged_sequence AND lease_owner IS NULL
ORDER BY task_id LIMIT $1"""


# The same for a cancel: whoever takes such a task next finds the word, but that may be long from now.
_UNHEARD_CANCELS = f"""
SELECT {COLUMNS}, cancel_requested_by FROM tasks
WHERE cancel_requested_by IS NOT NULL AND cancel_requested_at IS NULL AND finished_at IS NULL AND lease_owner IS NULL
ORDER BY task_id LIMIT $1"""


class Held(NamedTuple):
    """What a heartbeat found: the tasks still held, and the word that others left for them.

    `cancels` names who wants them to stop, `acknowledgements` the sequence up to which the submitter has received.
    """

    task_ids: set[str]
    cancels: dict[str, str]
    acknowledgements: dict[str, int]


class Leases:
    """The leases of one node. One caller at a time for each method; `lease_s` in seconds.

    `marks` are the node's; `kids` answers the names of the encryption keys that it has.
    """

    def __init__(
        self,
        database: Database,
        *,
        node_id: str,
        lease_s: float,
        marks: Marks | None = None,
        kids: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._kids = kids
        self.node_id = node_id
        self.lease_s = lease_s
        self.marks = Marks() if marks is None else marks
        self._claims = database.dedicated("claims")
        self._lines = MarkedLines(self._claims, self.marks, TAKE)
        self._upkeep = database.dedicated("upkeep")
        self.sweeps = database.dedicated("sweeps", SWEEP_TIMEOUT_S)
        """For what passes everything that is dead (see dead_rows.py): no heartbeat and no claim waits for that."""

    async def look(self, near: Walk, far: Walk, inside: Walk) -> Seen:
        """Which lines of tasks wait, as far as these walks go (see `LOOK`); puts what is due again into its line."""
        return await self._lines.look(near, far, inside)

    async def claim(self, wants: Sequence[Want]) -> list[Task]:
        """Takes as many tasks of each line, its first ones, or as are there; races with other nodes for each row."""
        return _tasks(await self._lines.claim(self.node_id, self.lease_s, wants, self._kids()))

    def can_open(self, task: Task) -> bool:
        """The task came in plain, or the node has the key to its content."""
        return task.encryption_json is None or json.loads(task.encryption_json)["kid"] in self._kids()

    async def take_expired(self, limit: int, holding: Sequence[str] = ()) -> list[Task]:
        """Takes over tasks whose holder has let its lease run out.

        Not those that this process is `holding` itself: after an outage its next heartbeat keeps them.
        """
        return _tasks(await self.sweeps.fetch(_EXPIRED, self.node_id, self.lease_s, limit, list(holding)))

    async def take_own(self, limit: int) -> list[Task]:
        """Takes over what an earlier process of this very node was executing. Only where no such process can live."""
        return _tasks(await self._upkeep.fetch(_OWN, self.node_id, self.lease_s, limit))

    async def give_back_own(self) -> None:
        """Lets go of what an earlier process of this very node held and had not started."""
        await self._upkeep.fetch(_RETURN_OWN, self.node_id)

    async def take_overdue(self, limit: int) -> list[Task]:
        """Takes tasks that have not started and whose deadline has passed."""
        return _tasks(await self.sweeps.fetch(_OVERDUE, self.node_id, self.lease_s, limit))

    async def nearer_than_their_run(self, runs: Mapping[str, float], limit: int) -> list[Task]:
        """Tasks that nobody holds whose deadline is nearer than `runs` (seconds by kind), and not warned of yet."""
        if not runs:
            return []
        longest = max(runs.values())
        rows = await self.sweeps.fetch(
            _NEARER_THAN_THEIR_RUN, list(runs), list(runs.values()), min(longest, TIMEOUT_MAX_S), limit
        )
        return [task_of(row) for row in rows]

    async def extend(self, task_ids: Sequence[str]) -> Held:
        """Keeps the leases of these tasks; what is missing in the answer has been lost.

        Only tasks that this process knows are kept: one whose claim was committed but whose answer was lost is
        left to run out, and is then rescued.
        """
        rows = await self._upkeep.fetch(_EXTEND, self.node_id, *in_order(task_ids), self.lease_s)
        return Held(
            {str(row["task_id"]) for row in rows},
            {str(row["task_id"]): row["cancel_requested_by"] for row in rows if row["cancel_requested_by"]},
            {str(row["task_id"]): row["acknowledged"] for row in rows if row["acknowledged"]},
        )

    async def give_back(self, task_ids: Sequence[str]) -> None:
        """Lets go of tasks that have not started, for anyone to claim."""
        put_back(self.marks, await self._upkeep.fetch(_RETURN, self.node_id, *in_order(task_ids)))

    async def want_cancel(self, task_id: str, by: str) -> None:
        """Leaves word for the holder of a task, which finds it at its next heartbeat.

        The version stays: the holder's own writes are still good, and it is the holder that records the cancel.
        Raises Conflict where nobody holds it any more. A holder that lets go of the task before it hears leaves the
        word to `unheard_cancels`.
        """
        if not await self._upkeep.fetch(_WANT_CANCEL, task_id, by):
            raise Conflict

    async def want_acknowledgement(self, task_id: str, sequence: int) -> int:
        """As `want_cancel`, that the submitter has received everything up to `sequence`; answers the highest such word.

        A holder that ends the task before it hears leaves the word to `unheard_acknowledgements`.
        """
        rows = await self._upkeep.fetch(_WANT_ACKNOWLEDGEMENT, task_id, sequence)
        if not rows:
            raise Conflict
        return int(rows[0]["acknowledgement_wanted"])

    async def unheard_acknowledgements(self, limit: int) -> list[tuple[Task, int]]:
        """Tasks that nobody holds with an acknowledgement that nobody has recorded."""
        rows = await self._upkeep.fetch(_UNHEARD, limit)
        return [(task_of(row), row["acknowledgement_wanted"]) for row in rows]

    async def unheard_cancels(self, limit: int) -> list[tuple[Task, str]]:
        """Tasks that nobody holds, with who wants them cancelled, which nobody has recorded."""
        rows = await self._upkeep.fetch(_UNHEARD_CANCELS, limit)
        return [(task_of(row), row["cancel_requested_by"]) for row in rows]

    async def close(self) -> None:
        """Closes the connections; leases run out by themselves."""
        await self._claims.close()
        await self._upkeep.close()
        await self.sweeps.close()


def _tasks(rows: list[asyncpg.Record]) -> list[Task]:
    tasks = [task_of(row) for row in rows]
    tasks.sort(key=_urgency)
    return tasks


def _urgency(task: Task) -> tuple[Any, ...]:
    return (task.priority, task.task_id)
