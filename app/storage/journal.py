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

from sqlalchemy import literal, select

from app.protocol.change import Change
from app.protocol.history import Item
from app.protocol.quotas import NOTHING_SET, Quota
from app.protocol.task import Task
from app.storage.batching import Batcher
from app.storage.database import Database
from app.storage.errors import Conflict, DuplicateMessage, Overloaded, QuotaExceeded, StorageUnavailable
from app.storage.folding import Entry, Fold, fold_changes
from app.storage.ledger import Ledger
from app.storage.tables import history

logger = logging.getLogger("app.storage")

MAX_BATCH = 500

MOST_WAITING = 20 * MAX_BATCH
"""Changes that wait for their commit before nothing new is taken: a few seconds of work, and a bounded memory."""

RETRY_S = 0.5
"""Longest seconds between two tries of a change that has to be written: half of it is lost at most when the database is
back."""

Committed = Callable[[list[tuple[Task, Sequence[Item]]]], None]
"""Hears of each commit: the tasks written, each with its new messages."""


class Journal:
    """See the module's docstring. One instance a process; `on_commit` hears of every batch that was written."""

    def __init__(
        self,
        database: Database,
        *,
        lease_s: float,
        observe: Callable[[int, float], None],
        conflicted: Callable[[int], None] = lambda _changes: None,
        default_quota: Quota = NOTHING_SET,
    ) -> None:
        self._database = database
        self._ledger = Ledger(database.dedicated("journal"), default_quota)
        self._lease_s = lease_s
        self._observe = observe
        self._conflicted = conflicted
        self._batcher: Batcher[Entry, None] = Batcher(self._write, MAX_BATCH)
        self._listeners: list[Committed] = []
        self.failing = False
        """The last commit found the database away, full or read-only."""

    @property
    def backlog(self) -> int:
        """Changes that wait for their commit."""
        return self._batcher.backlog

    def admit(self) -> None:
        """Raises Overloaded where something new would wait for too long. What was accepted is written all the same."""
        if self._batcher.backlog >= MOST_WAITING:
            raise Overloaded("too much waits to be written")

    def on_commit(self, listener: Committed) -> None:
        """`listener` is called in the event loop after each commit, before those who wait for it go on."""
        self._listeners.append(listener)

    def commit(self, change: Change) -> "asyncio.Future[None]":
        """Durable when the future is done.

        The future raises Conflict, DuplicateMessage, QuotaExceeded, or StorageUnavailable (after which the change
        may or may not have been written).
        """
        return self._batcher.submit(Entry.of(change))

    async def commit_surely(self, change: Change) -> None:
        """As `commit`, tried again for as long as the database is away. Raises Conflict, of a start QuotaExceeded.

        A first try that was written although its answer was lost is recognised by the hash of its history.
        """
        entry = Entry.of(change)
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
                delay_s = min(delay_s * 2, RETRY_S)
            except (Conflict, QuotaExceeded):
                # Of a start that was written the second try is one too many, by its own count.
                if in_doubt and head is not None and await self._recorded(change.task.task_id, head):
                    self._announce([(change.task, change.items)])
                    return
                raise

    async def close(self) -> None:
        """Writes what is waiting, then closes the connection."""
        await self._batcher.close()
        await self._ledger.close()

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

    async def _write(self, entries: list[Entry]) -> list[Exception | None]:
        folds, rivals = fold_changes(entries)
        answers: list[Exception | None] = [None] * len(entries)
        await self._write_folds(folds, answers)
        if rivals:
            answers_to_rivals = await self._write_apart([entries[position] for position in rivals])
            for position, answer in zip(rivals, answers_to_rivals, strict=True):
                answers[position] = answer
        return answers

    async def _write_folds(self, folds: list[Fold], answers: list[Exception | None]) -> None:
        try:
            written, refused = await self._execute(folds)
        except StorageUnavailable:
            self.failing = True
            raise
        except Exception:
            if len(folds) == 1:
                raise
            await self._write_one_by_one(folds, answers)
            return
        self.failing = False
        conflicts = 0
        for fold in folds:
            if fold.task.task_id in written:
                continue
            refusal = refused.get(fold.task.task_id)
            if refusal is None:
                refusal = DuplicateMessage() if fold.guard is None else Conflict()
                conflicts += fold.guard is not None
            _answer(fold, answers, refusal)
        if conflicts:
            self._conflicted(conflicts)
        if written:
            self._announce([(fold.task, fold.items) for fold in folds if fold.task.task_id in written])

    async def _write_one_by_one(self, folds: list[Fold], answers: list[Exception | None]) -> None:
        """One change that Postgres cannot take must not fail its neighbours."""
        for fold in folds:
            try:
                await self._write_folds([fold], answers)
            except Exception as error:  # noqa: BLE001 - its caller gets it raised
                _answer(fold, answers, error)

    async def _write_apart(self, entries: list[Entry]) -> list[Exception | None]:
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

    async def _execute(self, folds: list[Fold]) -> tuple[set[str], dict[str, Exception]]:
        """Writes in one transaction; answers which tasks were written, and which were refused for a quota."""
        begin = asyncio.get_running_loop().time()
        written, refused = await self._ledger.write(self._lease_s, folds)
        self._observe(len(folds), asyncio.get_running_loop().time() - begin)
        return written, refused


def _answer(fold: Fold, answers: list[Exception | None], answer: Exception) -> None:
    for position in fold.positions:
        answers[position] = answer
