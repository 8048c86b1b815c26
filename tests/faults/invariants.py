"""What must hold whatever happened to the service: a checker from outside.

It looks at what clients were told (HTTP) and at what Postgres holds (SQL), and recomputes everything itself: the
moves between states and the hash chain are written down here once more, on purpose, so that a mistake in the service
cannot hide behind the same mistake in its check. Each violation begins with the name of its invariant:

I1 nothing lost · I3 order of each task's messages · I5 the fence: one end, nothing behind it, nobody writes over it
I6 legal moves only · I8 resources · I9 the audit chain
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any

import asyncpg
import httpx
from sqlalchemy import make_url

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


@dataclass
class Message:
    """One item of a history."""

    sequence: int
    name: str
    sender: str
    recipient: str
    recorded_at: str
    status: str
    message: str
    previous_hash: str
    hash: str


@dataclass
class TaskRow:
    """A task as its row has it; `allocated` in thousandths by unit."""

    state: str
    attempt: int
    sequence: int
    head_hash: str
    allocated: dict[str, int]
    leased: bool


@dataclass
class Evidence:
    """What was seen. `accepted` are the tasks that a client was told of with 2xx; `told` is a history over HTTP.

    `samples` are sums of what was allocated, at moments; `runs` counts a task's side effects, where they are known.
    """

    accepted: set[str] = field(default_factory=set)
    rows: dict[str, TaskRow] = field(default_factory=dict)
    histories: dict[str, list[Message]] = field(default_factory=dict)
    told: dict[str, list[Message]] = field(default_factory=dict)
    capacity: dict[str, int] = field(default_factory=dict)
    samples: list[dict[str, int]] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)


def violations(seen: Evidence) -> list[str]:
    """Everything that must not be, once the service has come to rest; empty where all is well."""
    found = [*_lost(seen), *_overbooked(seen)]
    for task_id, row in seen.rows.items():
        history = seen.histories.get(task_id, [])
        problems = [
            *_order(history, seen.told.get(task_id)),
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
    given_back = sum('"reason":"handed_back"' in item.message for item in history if item.status == "Waiting")
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


async def read_database(seen: Evidence, connection: asyncpg.Connection) -> None:
    """Adds what Postgres holds."""
    for row in await connection.fetch("SELECT * FROM tasks"):
        seen.rows[str(row["task_id"])] = TaskRow(
            row["state"],
            row["attempt"],
            row["sequence"],
            row["head_hash"],
            json.loads(row["allocated"]),
            row["lease_owner"] is not None,
        )
    for row in await connection.fetch("SELECT * FROM history ORDER BY task_id, sequence, recorded_at"):
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
