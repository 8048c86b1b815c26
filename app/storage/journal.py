"""The journal: the only writer of task state.

It takes changes (one task's new standing, guarded by the version it was read at, with the messages that
belong to it) and writes everything that is waiting in one statement, which is one transaction: row and
history can never disagree. While a commit is under way the next batch gathers. Several changes of one
task in one batch fold into one row and all of their messages.

A change whose guard no longer matches writes nothing, neither row nor messages: that is the fence which
keeps a holder that was paused, and lost its lease meanwhile, from writing over its successor.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import literal, select

from app.protocol.history import Item
from app.protocol.task import Change, Task
from app.storage.batching import Batcher
from app.storage.database import Database
from app.storage.errors import Conflict, DuplicateMessage, StorageUnavailable
from app.storage.rows import IDENTITY, STANDING, identity_of, standing_of
from app.storage.tables import history

logger = logging.getLogger("app.storage")

MAX_BATCH = 500

Committed = Callable[[list[tuple[Task, Sequence[Item]]]], None]
"""Hears of each commit: the tasks written, each with its new messages."""

_HISTORY = (
    ("sequence", "integer"),
    ("name", "text"),
    ("sender", "text"),
    ("recipient", "text"),
    ("recorded_at", "timestamptz"),
    ("status", "text"),
    ("message", "json"),
    ("previous_hash", "text"),
    ("hash", "text"),
)
# asyncpg has no array codec for these; Postgres reads them from their text.
_AS_TEXT = frozenset({"json", "jsonb"})


def _build_statement() -> str:
    """One statement for everything: new tasks, changed tasks, and the messages of those that were written.

    $1 is the lease in seconds; the arrays of columns follow in the order of `_arguments`.
    """
    names = [field.column for field in (*IDENTITY, *STANDING)]
    standing = [(field.column, field.type) for field in STANDING]
    identity = [(field.column, field.type) for field in IDENTITY]
    new, position = _unnest([("task_id", "uuid"), *identity, *standing], 2)
    changed, position = _unnest([("task_id", "uuid"), ("guard", "integer"), *standing], position)
    messages, _ = _unnest([("task_id", "uuid"), *_HISTORY], position)
    lease = "CASE WHEN c.lease_owner IS NULL THEN NULL ELSE clock_timestamp() + make_interval(secs => $1) END"
    typed = {name: f"c.{name}::{kind}" for name, kind in (*identity, *standing)}
    history_names = [name for name, _ in _HISTORY]
    history_values = [f"c.{name}::{kind}" for name, kind in _HISTORY]
    return f"""
WITH inserted AS (
    INSERT INTO tasks (task_id, {", ".join(names)}, lease_expires_at)
    SELECT c.task_id, {", ".join(typed[name] for name in names)}, {lease}
    FROM {new}
    ON CONFLICT DO NOTHING
    RETURNING task_id
), updated AS (
    UPDATE tasks AS t
    SET {", ".join(f"{name} = {typed[name]}" for name, _ in standing)}, lease_expires_at = {lease}
    FROM {changed}
    WHERE t.task_id = c.task_id AND t.version = c.guard
    RETURNING t.task_id
), written AS (
    SELECT task_id FROM inserted UNION ALL SELECT task_id FROM updated
), recorded AS (
    INSERT INTO history (task_id, {", ".join(history_names)})
    SELECT c.task_id, {", ".join(history_values)}
    FROM {messages}
    -- IS TRUE keeps this a hashed lookup: as a join it would be planned as a loop over the loop.
    WHERE (c.task_id IN (SELECT task_id FROM written)) IS TRUE
)
SELECT task_id FROM written"""


def _unnest(columns: Sequence[tuple[str, str]], first: int) -> tuple[str, int]:
    arrays = ", ".join(
        f"${position}::{'text' if kind in _AS_TEXT else kind}[]" for position, (_, kind) in enumerate(columns, first)
    )
    return f"unnest({arrays}) AS c({', '.join(name for name, _ in columns)})", first + len(columns)


STATEMENT = _build_statement()


@dataclass(slots=True)
class _Entry:
    """A change as it waits: its values are taken when it comes in, the task may be stepped on meanwhile."""

    change: Change
    standing: tuple[Any, ...]


@dataclass(slots=True)
class _Fold:
    """The changes of one task in one batch, each made on the one before it; `version` is what they lead to."""

    task: Task
    guard: int | None
    version: int
    standing: tuple[Any, ...]
    items: list[Item]
    positions: list[int]


class Journal:
    """See the module's docstring. One instance a process; `on_commit` hears of every batch that was written."""

    def __init__(self, database: Database, *, lease_s: float, observe: Callable[[int, float], None]) -> None:
        self._database = database
        self._connection = database.dedicated()
        self._lease_s = lease_s
        self._observe = observe
        self._batcher: Batcher[_Entry, None] = Batcher(self._write, MAX_BATCH)
        self._listeners: list[Committed] = []

    @property
    def backlog(self) -> int:
        """Changes that wait for their commit."""
        return self._batcher.backlog

    def on_commit(self, listener: Committed) -> None:
        """`listener` is called in the event loop after each commit, before those who wait for it go on."""
        self._listeners.append(listener)

    def commit(self, change: Change) -> "asyncio.Future[None]":
        """Durable when the future is done.

        The future raises Conflict, DuplicateMessage, or StorageUnavailable (after which the change may or
        may not have been written).
        """
        return self._batcher.submit(_Entry(change, standing_of(change.task)))

    async def commit_surely(self, change: Change) -> None:
        """As `commit`, tried again for as long as the database is away. Raises Conflict only.

        A first try that was written although its answer was lost is recognised by the hash of its history.
        """
        entry = _Entry(change, standing_of(change.task))
        head = change.items[-1].hash if change.items else None
        delay_s = 0.05
        in_doubt = False
        while True:
            try:
                await self._batcher.submit(entry)
                return
            except StorageUnavailable:
                in_doubt = True
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 1.0)
            except Conflict:
                if in_doubt and head is not None and await self._recorded(change.task.task_id, head):
                    self._announce([(change.task, change.items)])
                    return
                raise

    async def close(self) -> None:
        """Writes what is waiting, then closes the connection."""
        await self._batcher.close()
        await self._connection.close()

    async def _recorded(self, task_id: str, head: str) -> bool:
        while True:
            try:
                async with self._database.connect() as connection:
                    found = await connection.execute(
                        select(literal(1)).where(history.c.task_id == task_id, history.c.hash == head)
                    )
                    return found.first() is not None
            except StorageUnavailable:
                await asyncio.sleep(0.2)

    async def _write(self, entries: list[_Entry]) -> list[Exception | None]:
        folds, rivals = _fold(entries)
        answers: list[Exception | None] = [None] * len(entries)
        await self._write_folds(folds, answers)
        if rivals:
            answers_to_rivals = await self._write_apart([entries[position] for position in rivals])
            for position, answer in zip(rivals, answers_to_rivals, strict=True):
                answers[position] = answer
        return answers

    async def _write_folds(self, folds: list[_Fold], answers: list[Exception | None]) -> None:
        try:
            written = await self._execute(folds)
        except StorageUnavailable:
            raise
        except Exception:
            if len(folds) == 1:
                raise
            await self._write_one_by_one(folds, answers)
            return
        for fold in folds:
            if fold.task.task_id not in written:
                refusal = DuplicateMessage() if fold.guard is None else Conflict()
                _answer(fold, answers, refusal)
        if written:
            self._announce([(fold.task, fold.items) for fold in folds if fold.task.task_id in written])

    async def _write_one_by_one(self, folds: list[_Fold], answers: list[Exception | None]) -> None:
        """One change that Postgres cannot take must not fail its neighbours."""
        for fold in folds:
            try:
                await self._write_folds([fold], answers)
            except Exception as error:  # noqa: BLE001 - its caller gets it raised
                _answer(fold, answers, error)

    async def _write_apart(self, entries: list[_Entry]) -> list[Exception | None]:
        """What comes behind a commit that has succeeded: a failure here is not that one's."""
        try:
            return await self._write(entries)
        except Exception as error:  # noqa: BLE001 - each caller gets it raised
            return [error] * len(entries)

    def _announce(self, done: list[tuple[Task, Sequence[Item]]]) -> None:
        for listener in self._listeners:
            try:
                listener(done)
            except Exception:
                # It is committed: whoever waits for it must not be told otherwise.
                logger.exception("a listener to commits failed")

    async def _execute(self, folds: list[_Fold]) -> set[str]:
        begin = asyncio.get_running_loop().time()
        rows = await self._connection.fetch(STATEMENT, self._lease_s, *_arguments(folds))
        self._observe(len(folds), asyncio.get_running_loop().time() - begin)
        return {str(row[0]) for row in rows}


def _answer(fold: _Fold, answers: list[Exception | None], answer: Exception) -> None:
    for position in fold.positions:
        answers[position] = answer


def _fold(entries: list[_Entry]) -> tuple[list[_Fold], list[int]]:
    """The changes folded by task, and the positions of those that do not follow from the one before.

    Two that were made on the same version by different readers (two cancels at once) are rivals: only one of them
    may be written, and the guard has to tell which.
    """
    folds: dict[str, _Fold] = {}
    rivals: list[int] = []
    for position, entry in enumerate(entries):
        change = entry.change
        fold = folds.get(change.task.task_id)
        if fold is None:
            version = (change.guard or 0) + 1
            folds[change.task.task_id] = _Fold(
                change.task, change.guard, version, entry.standing, list(change.items), [position]
            )
        elif fold.task is change.task and fold.version == change.guard:
            fold.version += 1
            fold.standing = entry.standing
            fold.items.extend(change.items)
            fold.positions.append(position)
        else:
            rivals.append(position)
    return list(folds.values()), rivals


def _arguments(folds: list[_Fold]) -> list[Sequence[Any]]:
    """The arrays of the statement, rows in one order everywhere: two transactions then cannot lock each other out."""
    new = sorted((fold for fold in folds if fold.guard is None), key=_by_key)
    changed = sorted((fold for fold in folds if fold.guard is not None), key=_by_id)
    new_rows = [(fold.task.task_id, *identity_of(fold.task), *fold.standing) for fold in new]
    changed_rows = [(fold.task.task_id, fold.guard, *fold.standing) for fold in changed]
    messages = [(fold.task.task_id, *item) for fold in folds for item in fold.items]
    return [
        *_columns(new_rows, 1 + len(IDENTITY) + len(STANDING)),
        *_columns(changed_rows, 2 + len(STANDING)),
        *_columns(messages, 1 + len(_HISTORY)),
    ]


def _by_key(fold: _Fold) -> tuple[str, str]:
    return fold.task.submitter, fold.task.idempotency_key


def _by_id(fold: _Fold) -> str:
    return fold.task.task_id


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width
