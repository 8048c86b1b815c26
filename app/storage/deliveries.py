"""Deliveries: which task's next message is due to be sent to its submitter, and who sends it now.

A delivery is claimed for a while, so that exactly one node sends for a task at a time; a claim that is not finished
(its node was killed) runs out by itself. Times are the database's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.protocol.history import Item, MessageName, Party
from app.protocol.states import State
from app.storage.batching import Batcher
from app.storage.database import Database
from app.storage.errors import Conflict

CLAIM_S = 30.0
"""Seconds after which an unfinished claim is open to others: three times as long as an attempt may take."""

ATTEMPTS_KEPT = 100
"""The last so many attempts of a task are kept in its log."""

MAX_FINISHED = 200
FORGOTTEN = 500

_IS_FREE = "(d.claimed_until IS NULL OR d.claimed_until < clock_timestamp())"

# From sink to sink by the index, however many deliveries each of them has: who waits long in one line does not hide
# the others. A sink without anything due comes with a null. The time is the statement's: clock_timestamp() may change
# within it, so the index could not be asked for it, and a line of 100,000 that is not due would be read whole (92 ms).
_DUE = f"""
WITH RECURSIVE sinks(sink) AS (
    (SELECT sink FROM deliveries WHERE next_attempt_at IS NOT NULL AND sink > $1 ORDER BY sink LIMIT 1)
    UNION ALL
    SELECT (SELECT d.sink FROM deliveries AS d
            WHERE d.next_attempt_at IS NOT NULL AND d.sink > s.sink ORDER BY d.sink LIMIT 1)
    FROM sinks AS s WHERE s.sink IS NOT NULL
)
SELECT s.sink, c.task_id
FROM (SELECT sink FROM sinks WHERE sink IS NOT NULL LIMIT $2) AS s
LEFT JOIN LATERAL (
    SELECT d.task_id FROM deliveries AS d
    WHERE d.sink = s.sink AND d.next_attempt_at <= statement_timestamp() AND {_IS_FREE}
    ORDER BY d.next_attempt_at LIMIT $3
) AS c ON true"""

_SINKS_OF = "SELECT task_id, sink FROM deliveries WHERE task_id = ANY($1::uuid[]) AND next_attempt_at IS NOT NULL"

_CLAIM = f"""
WITH picked AS (
    SELECT d.task_id FROM deliveries AS d
    WHERE d.task_id = ANY($1::uuid[]) AND d.next_attempt_at <= clock_timestamp() AND {_IS_FREE}
    FOR UPDATE SKIP LOCKED
)
UPDATE deliveries AS d
SET claim = d.claim + 1, claimed_until = clock_timestamp() + make_interval(secs => $2)
FROM picked WHERE d.task_id = picked.task_id
RETURNING d.*, extract(epoch FROM clock_timestamp() - d.waiting_since)::float8 AS waited_s"""

_NEXT = """
SELECT sequence, name, sender, recipient, recorded_at, status, message, previous_hash, hash FROM history
WHERE task_id = $1 AND sequence > $2 AND recipient = 'submitter'
    AND ($3::text IS NULL OR name = ANY(string_to_array($3, ',')))
ORDER BY sequence LIMIT 1"""

_FINISH = f"""
WITH finished AS (
    UPDATE deliveries AS d
    SET claimed_until = NULL, attempts = d.attempts + 1, last_outcome = c.outcome, last_attempt_at = c.attempted_at,
        delivered_sequence = CASE WHEN {{done}} THEN c.sequence ELSE d.delivered_sequence END,
        failures = CASE WHEN {{done}} THEN 0 ELSE d.failures + 1 END,
        state = CASE WHEN {{done}} THEN 'active' ELSE c.state END,
        waiting_since = CASE WHEN {{done}} THEN CASE WHEN {{more}} THEN clock_timestamp() END
            WHEN c.state = 'active' THEN d.waiting_since END,
        next_attempt_at = CASE WHEN {{done}} THEN CASE WHEN {{more}} THEN clock_timestamp() END
            WHEN c.state = 'active' THEN clock_timestamp() + make_interval(secs => c.delay_s) END
    FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::integer[], $6::text[], $7::float8[],
        $8::timestamptz[], $9::boolean[], $10::boolean[])
        AS c(task_id, claim, sequence, outcome, duration_ms, state, delay_s, attempted_at, is_accepted, is_last)
    WHERE d.task_id = c.task_id AND d.claim = c.claim AND d.claimed_until IS NOT NULL
    RETURNING d.task_id, d.attempts, c.sequence, c.attempted_at, c.outcome, c.duration_ms, d.next_attempt_at, d.state,
        d.failures
), logged AS (
    INSERT INTO delivery_attempts
        (task_id, slot, attempt, sequence, attempted_at, outcome, duration_ms, next_attempt_at)
    SELECT task_id, attempts % {ATTEMPTS_KEPT}, attempts, sequence, attempted_at, outcome, duration_ms,
        CASE WHEN failures > 0 THEN next_attempt_at END
    FROM finished
    ON CONFLICT (task_id, slot) DO UPDATE SET attempt = excluded.attempt, sequence = excluded.sequence,
        attempted_at = excluded.attempted_at, outcome = excluded.outcome, duration_ms = excluded.duration_ms,
        next_attempt_at = excluded.next_attempt_at
)
SELECT task_id, state, next_attempt_at, next_attempt_at <= clock_timestamp() AS is_due FROM finished""".format(
    # Accepted by an answer that counts as its acknowledgement; or acknowledged otherwise, be it during the attempt.
    done="(c.is_accepted AND d.acknowledged_by = 'response' "
    "OR d.acknowledged_sequence >= c.sequence AND (c.is_accepted OR c.sequence > d.redeliver_until))",
    # Behind the last message of all comes one more look, which records the acknowledgement.
    more="(c.is_last OR d.wanted_sequence > c.sequence)",
)

# A task may have ended between the claim and the look at it: its end is news like any other, and is sent first.
_REST = """
UPDATE deliveries AS d
SET claimed_until = NULL, failures = 0,
    state = CASE WHEN $4 AND d.wanted_sequence <= $3 THEN 'delivered' ELSE 'active' END,
    waiting_since = CASE WHEN d.wanted_sequence > $3 THEN clock_timestamp() END,
    next_attempt_at = CASE WHEN d.wanted_sequence > $3 THEN clock_timestamp() END
WHERE d.task_id = $1 AND d.claim = $2 AND d.claimed_until IS NOT NULL"""

_RETURN = """
UPDATE deliveries AS d SET claimed_until = NULL
FROM unnest($1::uuid[], $2::integer[]) AS c(task_id, claim)
WHERE d.task_id = c.task_id AND d.claim = c.claim"""

_GIVE_UP = f"""
WITH old AS (
    SELECT d.task_id FROM deliveries AS d
    WHERE d.next_attempt_at IS NOT NULL AND {_IS_FREE}
        AND d.waiting_since < clock_timestamp() - make_interval(secs => $1)
    LIMIT 500 FOR UPDATE SKIP LOCKED
)
UPDATE deliveries AS d SET state = 'dead', next_attempt_at = NULL, waiting_since = NULL
FROM old WHERE d.task_id = old.task_id
RETURNING d.task_id"""

# Those whose tasks retention has dropped: few at a time, by their key.
_FORGET = """
WITH gone AS (
    SELECT d.task_id FROM deliveries AS d
    WHERE d.task_id < (SELECT oldest_kept FROM retention)
        AND NOT EXISTS (SELECT FROM tasks AS t WHERE t.task_id = d.task_id)
    ORDER BY d.task_id LIMIT $1 FOR UPDATE SKIP LOCKED
), logged AS (
    DELETE FROM delivery_attempts AS a USING gone WHERE a.task_id = gone.task_id
)
DELETE FROM deliveries AS d USING gone WHERE d.task_id = gone.task_id
RETURNING d.task_id"""

_PENDING = """
SELECT count(*) AS pending, coalesce(extract(epoch FROM clock_timestamp() - min(waiting_since)), 0)::float8 AS oldest_s
FROM (SELECT waiting_since FROM deliveries WHERE next_attempt_at IS NOT NULL LIMIT 100000) AS d"""


class Candidate(NamedTuple):
    """A delivery that may be due. `sink` is None where nobody has looked yet."""

    task_id: str
    sink: str | None


class Claimed(NamedTuple):
    """A delivery that this node has for itself until its claim runs out."""

    task_id: str
    claim: int
    submitter: str
    url: str
    sink: str
    events: str | None
    acknowledged_by: str
    sealed_secret: bytes | None
    behind: int
    """The next message to be sent has a higher sequence."""
    wanted: int
    failures: int
    waited_s: float


class Attempt(NamedTuple):
    """How an attempt at one message went.

    `state` is what becomes of the whole delivery, and `delay_s` when to try the same message again, where it is not
    done with: one that was accepted is, unless its submitter acknowledges by request and has not yet. `is_last`: no
    message to the submitter follows.
    """

    task_id: str
    claim: int
    sequence: int
    outcome: str
    duration_ms: int
    state: str
    delay_s: float
    attempted_at: datetime
    is_accepted: bool
    is_last: bool


class Finished(NamedTuple):
    """What became of a delivery after an attempt. `is_due`: there is more to be sent at once."""

    state: str
    next_attempt_at: datetime | None
    is_due: bool


class Deliveries:
    """See the module's docstring. All of it raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._connection = database.dedicated("webhooks")
        self._finishing: Batcher[Attempt, Finished] = Batcher(self._finish, MAX_FINISHED)

    async def due(self, after: str, sinks: int, each: int) -> tuple[list[Candidate], str]:
        """What is due at the next so many sinks behind `after` in the order of their names, at most `each` of each.

        Answers also where to go on: "" after the last sink.
        """
        rows = await self._connection.fetch(_DUE, after, sinks, each)
        found = [Candidate(str(row["task_id"]), row["sink"]) for row in rows if row["task_id"] is not None]
        names = list(dict.fromkeys(row["sink"] for row in rows))
        # The last in the order of the database, which may differ from Python's.
        return found, (names[-1] if len(names) == sinks else "")

    async def sinks_of(self, task_ids: Sequence[str]) -> list[Candidate]:
        """Those of the tasks of which something waits to be sent."""
        rows = await self._connection.fetch(_SINKS_OF, list(task_ids))
        return [Candidate(str(row["task_id"]), row["sink"]) for row in rows]

    async def claim(self, task_ids: Sequence[str]) -> list[Claimed]:
        """Those of them that are due and nobody else's, now this node's own."""
        return [_claimed(row) for row in await self._connection.fetch(_CLAIM, list(task_ids), CLAIM_S)]

    async def next_message(self, claimed: Claimed) -> Item | None:
        """The next message to be sent; None where there is none yet."""
        rows = await self._connection.fetch(_NEXT, claimed.task_id, claimed.behind, claimed.events)
        return _item(rows[0]) if rows else None

    async def finish(self, attempt: Attempt) -> Finished:
        """Records an attempt and lets go of the delivery. Raises Conflict where the claim had run out."""
        return await self._finishing.submit(attempt)

    async def rest(self, claimed: Claimed, *, over: bool) -> None:
        """Lets go of a delivery of which nothing more is to be sent: for now, or at all."""
        await self._connection.fetch(_REST, claimed.task_id, claimed.claim, claimed.wanted, over)

    async def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Lets go of deliveries that were not attempted."""
        ordered = sorted(claimed)
        ids, claims = [each.task_id for each in ordered], [each.claim for each in ordered]
        await self._connection.fetch(_RETURN, ids, claims)

    async def give_up(self, after_s: float) -> list[str]:
        """Ends those whose next message has waited for so many seconds, attempted or not; answers their tasks."""
        return [str(row["task_id"]) for row in await self._connection.fetch(_GIVE_UP, after_s)]

    async def forget(self) -> int:
        """Removes some deliveries whose tasks have been dropped, at most FORGOTTEN; answers how many."""
        return len(await self._connection.fetch(_FORGET, FORGOTTEN))

    async def pending(self) -> tuple[int, float]:
        """How many deliveries have a message to send (100,000 at most), and how long the oldest has waited, seconds."""
        (row,) = await self._connection.fetch(_PENDING)
        return row["pending"], row["oldest_s"]

    async def close(self) -> None:
        """Records what has been attempted, and closes the connection."""
        await self._finishing.close()
        await self._connection.close()

    async def _finish(self, attempts: list[Attempt]) -> list[Finished | Exception]:
        ordered = sorted(attempts, key=lambda attempt: attempt.task_id)
        rows = await self._connection.fetch(_FINISH, *zip(*ordered, strict=True))
        found = {str(row["task_id"]): row for row in rows}
        return [_finished(found.get(attempt.task_id)) for attempt in attempts]


def _finished(row: Any) -> Finished | Exception:
    return Conflict() if row is None else Finished(row["state"], row["next_attempt_at"], bool(row["is_due"]))


def _claimed(row: Any) -> Claimed:
    delivered, acknowledged = row["delivered_sequence"], row["acknowledged_sequence"]
    # What the submitter has acknowledged is not sent to it, unless it wants it again.
    behind = delivered if delivered < row["redeliver_until"] else max(delivered, acknowledged)
    return Claimed(
        str(row["task_id"]),
        row["claim"],
        row["submitter"],
        row["url"],
        row["sink"],
        row["events"],
        row["acknowledged_by"],
        row["sealed_secret"],
        behind,
        row["wanted_sequence"],
        row["failures"],
        row["waited_s"],
    )


def _item(row: Any) -> Item:
    sequence, name, sender, recipient, recorded_at, status, *rest = row
    return Item(sequence, MessageName(name), Party(sender), Party(recipient), recorded_at, State(status), *rest)
