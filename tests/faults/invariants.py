"""What must hold whatever happened to the service: a checker from outside.

It looks at what clients were told (HTTP) and at what Postgres holds (SQL), and recomputes everything itself: the
moves between states and the hash chain are written down here once more, on purpose, so that a mistake in the service
cannot hide behind the same mistake in its check. Each violation begins with the name of its invariant:

I1 nothing lost · I2 one message, one task · I3 order of each task's messages, in every view · I4 nothing counts as
received but by the submitter's word · I5 the fence: one end, nothing behind it, nobody writes over it · I6 legal moves
only · I7 everything comes to its end, and orphans soon · I8 resources · I9 the audit chain · I10 nothing unexpected in
logs and answers · I11 processes do not grow

It checks what the evidence shows (evidence.py): of what was not looked at it says nothing.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any

import asyncpg
import httpx
from sqlalchemy import make_url

from tests.faults.evidence import Acknowledgements, Evidence, Message, Received, TaskRow

__all__ = [
    "Evidence",
    "Message",
    "TaskRow",
    "looking_into",
    "of_each_task",
    "of_the_whole",
    "read_database",
    "read_history",
    "sample_allocated",
    "violations",
]

LEGAL = {
    "Submitted": {"Validating"},
    "Validating": {"ResourceAllocation", "Rejected"},
    "ResourceAllocation": {"Executing", "Waiting", "Failed"},
    "Waiting": {"ResourceAllocation", "Failed"},
    "Executing": {"Completing", "Waiting", "Failed"},
    "Completing": {"Completed", "Failed"},
    "Completed": set(),
    "Failed": set(),
    "Rejected": set(),
}
OVER = {"Completed", "Failed", "Rejected"}
FIRST = {"Submitted", "Validating"}
GROWTH = {"memory_mb": 24.0, "files": 4, "children": 0, "connections": 4}
"""What a process may have more than before, besides a twentieth: caches and a pool that has once been needed."""


def violations(seen: Evidence) -> list[str]:
    """Everything that must not be, once the service has come to rest; empty where all is well."""
    return [*of_the_whole(seen), *of_each_task(seen)]


def of_the_whole(seen: Evidence) -> list[str]:
    """What must hold between tasks, and of the processes; looks at no history."""
    return [
        *_lost(seen),
        *_doubled(seen),
        *_unfinished(seen),
        *_overbooked(seen),
        *_loud(seen),
        *_grown(seen),
    ]


def of_each_task(seen: Evidence) -> list[str]:
    """What must hold of each task by itself."""
    found = []
    for received in seen.received:
        history = seen.histories.get(received.task_id, [])
        found += [f"{problem} ({received.consumer}, task {received.task_id})" for problem in _view(received, history)]
    for task_id, row in seen.rows.items():
        history = seen.histories.get(task_id, [])
        problems = [
            *_order(history, seen.told.get(task_id)),
            *_word(row, history, seen.acknowledgements.get(task_id)),
            *_fence(row, history, seen.runs.get(task_id)),
            *_moves(history),
            *_held(row, history),
            *_chain(task_id, row, history),
        ]
        found += [f"{problem} (task {task_id})" for problem in problems]
    return found


def _lost(seen: Evidence) -> Iterator[str]:
    for task_id in sorted(seen.accepted - seen.rows.keys()):
        yield f"I1: task {task_id} was accepted and is not there"
    for task_id in sorted(seen.accepted & seen.rows.keys()):
        if seen.rows[task_id].state not in OVER:
            yield f"I1: task {task_id} was accepted and is {seen.rows[task_id].state} for ever"


def _doubled(seen: Evidence) -> Iterator[str]:
    for message_id, task_ids in seen.named.items():
        if len(task_ids) > 1:
            yield f"I2: message {message_id} was answered with {sorted(task_ids)}"
    for message_id in sorted(seen.taken_twice):
        yield f"I2: other content was accepted under {message_id}"
    accepted = [row.key for row in seen.rows.values() if row.key is not None and row.state != "Rejected"]
    for key, number in Counter(accepted).items():
        if number > 1:
            yield f"I2: {number} tasks of {key}"


def _unfinished(seen: Evidence) -> Iterator[str]:
    """Also what no client was told of: an unknown outcome that was stored is to be done like any other."""
    for task_id in sorted(seen.rows.keys() - seen.accepted):
        if seen.rows[task_id].state not in OVER:
            yield f"I7: task {task_id} is {seen.rows[task_id].state} for ever"
    late = sorted(seconds for seconds in seen.pickups if seconds > seen.pickup_limit_s)
    if len(late) > len(seen.pickups) * 0.05:
        yield f"I7: {len(late)} of {len(seen.pickups)} orphans waited beyond {seen.pickup_limit_s:g} s: {late[-5:]}"


def _view(received: Received, history: list[Message]) -> Iterator[str]:
    """A consumer's view of a history: whole from its beginning, every message first seen in its place."""
    stored = {item.sequence: item.hash for item in history}
    if any(stored.get(sequence) != known for sequence, known in received.messages):
        yield "I3: something else came than is stored"
    first_seen = list(dict.fromkeys(sequence for sequence, _ in received.messages))
    if not received.for_submitter and len(first_seen) < len(received.messages):
        yield "I3: a message came twice"
    ends = [item.sequence for item in history if item.status in OVER]
    expected = [
        item.sequence for item in history if item.recipient == "submitter" or not received.for_submitter
    ]  # fmt: skip
    if received.to_the_end and ends:
        expected = [sequence for sequence in expected if sequence <= max(ends[0], *first_seen, 0)]
    else:
        expected = expected[: len(first_seen)]
    if first_seen != expected:
        yield f"I3: {first_seen} came, and should have been {expected}"


def _word(row: TaskRow, history: list[Message], told: Acknowledgements | None) -> Iterator[str]:
    recorded = [
        json.loads(item.message)["body"]["sequence"] for item in history if item.name == "Acknowledge"
    ]  # fmt: skip
    if any(later <= earlier for earlier, later in pairwise(recorded)):
        yield f"I4: acknowledged in the order {recorded}"
    if row.acknowledged != max(recorded, default=0):
        yield f"I4: the row says {row.acknowledged}, the history {recorded}"
    if told is None:
        return
    if not set(recorded) <= told.sent:
        yield f"I4: {recorded} count as received, and the submitter said {sorted(told.sent)}"
    if told.answered and row.acknowledged < _heard(max(told.answered), history):
        yield f"I4: {max(told.answered)} was acknowledged and answered, and the row says {row.acknowledged}"


def _heard(sequence: int, history: list[Message]) -> int:
    """What has to be recorded of an acknowledgement: one of nothing but earlier acknowledgements says nothing new."""
    return max(
        (item.sequence for item in history if item.sequence <= sequence and item.name != "Acknowledge"), default=0
    )


def _order(history: list[Message], told: list[Message] | None) -> Iterator[str]:
    sequences = [item.sequence for item in history]
    if sequences != list(range(1, len(history) + 1)):
        yield f"I3: the messages are numbered {sequences}"
    if told is not None and [item.sequence for item in told] != sequences:
        yield "I3: the client was told other messages, or in another order, than are stored"
    elif told is not None and [(item.name, item.hash) for item in told] != [(item.name, item.hash) for item in history]:
        yield "I3: the client was told something else than is stored"


def _fence(row: TaskRow, history: list[Message], runs: int | None) -> Iterator[str]:
    ends = [item for item in history if item.name in {"TaskCompleted", "TaskFailed", "TaskRejected"}]
    if len(ends) != (row.state in OVER):
        yield f"I5: {len(ends)} ends, and the row is {row.state}"
    if ends:
        behind = {item.name for item in history if item.sequence > ends[0].sequence} - {"Acknowledge"}
        if behind:
            yield f"I5: {sorted(behind)} behind the end"
    if history and (row.state, row.sequence) != (history[-1].status, history[-1].sequence):
        yield f"I5: the row says {row.state} at {row.sequence}, the last message {history[-1].status}"
    begun = sum(item.name == "ExecutionStarted" for item in history)
    given_back = sum(
        # A warning repeats why the task waits.
        before.status != after.status == "Waiting" and '"reason":"handed_back"' in after.message
        for before, after in pairwise(history)
    )
    if begun - given_back != row.attempt:
        yield f"I5: {begun} attempts begun, {given_back} handed back, and {row.attempt} counted"
    if runs is not None and not 1 <= runs <= begun:
        yield f"I5: {runs} runs in {begun} attempts"


def _moves(history: list[Message]) -> Iterator[str]:
    if history and history[0].status not in FIRST:
        yield f"I6: begins as {history[0].status}"
    for before, after in pairwise(history):
        if after.status != before.status and after.status not in LEGAL[before.status]:
            yield f"I6: from {before.status} to {after.status}"


def _held(row: TaskRow, history: list[Message]) -> Iterator[str]:
    names = [item.name for item in history]
    holds = names.count("ResourcesAllocated") - names.count("ResourcesReleased")
    if holds != bool(row.allocated) or names.count("ReleaseResources") != names.count("ResourcesReleased"):
        yield f"I8: allocated and released do not match: {holds} left, the row holds {row.allocated}"
    if row.state in OVER and (row.allocated or row.leased):
        yield "I8: over, and still holding resources or a lease"


def _overbooked(seen: Evidence) -> Iterator[str]:
    for sample in seen.samples:
        beyond = {unit: amount for unit, amount in sample.items() if amount > seen.capacity.get(unit, 0)}
        if beyond:
            yield f"I8: {beyond} allocated of {seen.capacity}"
    if seen.samples and any(seen.samples[-1].values()):
        yield f"I8: at rest {seen.samples[-1]} is allocated"


def _loud(seen: Evidence) -> Iterator[str]:
    for (status, has_retry_after), number in seen.answers.items():
        if status >= 500 and not (status == 503 and has_retry_after):
            yield f"I10: {number} answers {status}{'' if has_retry_after else ' without Retry-After'}"
    for name, log in seen.logs.items():
        for line in log.splitlines():
            # What a handler raised is logged as a warning, with its traceback: that is the handler's matter.
            if '"level":"error"' in line or ("Traceback" in line and '"level":"warn"' not in line):
                yield f"I10: {name} says {line[:300]}"
        for canary in sorted(seen.canaries):
            if canary in log:
                yield f"I10: the log of {name} holds the secret {canary}"


def _grown(seen: Evidence) -> Iterator[str]:
    for name, (before, after) in seen.footprints.items():
        for member, allowance in GROWTH.items():
            was, is_now = getattr(before, member), getattr(after, member)
            if is_now > was * 1.05 + allowance:
                yield f"I11: {name} had {was:g} {member} and has {is_now:g}"


def _chain(task_id: str, row: TaskRow, history: list[Message]) -> Iterator[str]:
    previous = "0" * 64
    for item in history:
        if item.previous_hash != previous or _link(task_id, item) != item.hash:
            yield f"I9: the chain breaks at {item.sequence}"
            return
        previous = item.hash
    if row.head_hash != previous:
        yield "I9: the head in the row is not that of the chain"


def _link(task_id: str, item: Message) -> str:
    digest = sha256(item.message.encode()).hexdigest()
    fields = (
        item.previous_hash, task_id, str(item.sequence), item.name, item.sender, item.recipient, item.recorded_at,
        item.status, digest,
    )  # fmt: skip
    return sha256("\n".join(fields).encode()).hexdigest()


# -- gathering -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def looking_into(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the checker's own."""
    connection = await asyncpg.connect(
        make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    )
    try:
        yield connection
    finally:
        await connection.close()


async def read_database(seen: Evidence, connection: asyncpg.Connection, task_ids: Sequence[str] | None = None) -> None:
    """Adds what Postgres holds, of these tasks or of all."""
    rows = "SELECT * FROM tasks WHERE $1::uuid[] IS NULL OR task_id = ANY($1)"
    for row in await connection.fetch(rows, task_ids):
        seen.rows[str(row["task_id"])] = TaskRow(
            row["state"],
            row["attempt"],
            row["sequence"],
            row["head_hash"],
            json.loads(row["allocated"]),
            row["lease_owner"] is not None,
            row["acknowledged_sequence"],
            (row["submitter"], row["idempotency_key"]),
        )
    items = """SELECT * FROM history WHERE $1::uuid[] IS NULL OR task_id = ANY($1)
        ORDER BY task_id, sequence, recorded_at"""
    for row in await connection.fetch(items, task_ids):
        seen.histories.setdefault(str(row["task_id"]), []).append(_stored(row))


async def sample_allocated(seen: Evidence, connection: asyncpg.Connection) -> None:
    """Adds the sum of what all tasks hold at this moment."""
    total: dict[str, int] = {}
    for row in await connection.fetch("SELECT allocated FROM tasks WHERE allocated::text <> '{}'"):
        for unit, amount in json.loads(row["allocated"]).items():
            total[unit] = total.get(unit, 0) + amount
    seen.samples.append(total)


async def read_history(seen: Evidence, client: httpx.AsyncClient, task_id: str) -> None:
    """Adds a task's history as the service tells it, page by page."""
    told, cursor = seen.told.setdefault(task_id, []), None
    while True:
        query: dict[str, Any] = {"limit": 200} if cursor is None else {"limit": 200, "cursor": cursor}
        response = await client.get(f"/v1/tasks/{task_id}/messages", params=query)
        assert response.status_code == httpx.codes.OK, response.text
        page = response.json()
        told.extend(Message(**{**item, "message": json.dumps(item["message"])}) for item in page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _stored(row: asyncpg.Record) -> Message:
    moment: datetime = row["recorded_at"]
    return Message(
        row["sequence"],
        row["name"],
        row["sender"],
        row["recipient"],
        moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        row["status"],
        row["message"],
        row["previous_hash"],
        row["hash"],
    )
