"""Guarantees taken away, one at a time: what the simulation has to notice.

Each is a mistake that somebody could make in the service or its statements. A mutation is a context manager, entered
for the time of a run, that yields the laws of the database in that world.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any
from unittest.mock import patch

from app.execution import upkeep
from app.execution.backends.backend import StopSignal
from app.execution.cancellation import Cancellation
from app.execution.holding import Holding
from app.execution.retry import GiveUp, RetryAt, after_executor_lost
from app.protocol import task
from app.protocol.change import Change
from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.storage.journal import Journal
from app.submission.handler import SubmissionHandler
from app.submission.outcomes import Submission
from tests.simulation.database import Laws, ModelDatabase

Mutation = Callable[[], AbstractContextManager[Laws]]


@contextmanager
def fence_removed() -> Iterator[Laws]:
    """The journal's statement does not look at the version."""
    yield Laws(guards_versions=False)


@contextmanager
def key_not_unique() -> Iterator[Laws]:
    """The unique index on the idempotency key is not there."""
    yield Laws(keeps_keys_unique=False)


@contextmanager
def rescue_keeps_the_version() -> Iterator[Laws]:
    """A task is taken over without its version being raised."""
    yield Laws(rescue_raises_version=False)


@contextmanager
def release_skipped() -> Iterator[Laws]:
    """A task ends without giving back its resources."""
    with patch.object(Task, "_release", lambda _task, _now, _used: None):
        yield Laws()


@contextmanager
def pool_not_released() -> Iterator[Laws]:
    """The node's Resource Manager does not hear that an attempt is over."""
    with patch.object(ResourceManager, "release", lambda *_arguments, **_options: None):
        yield Laws()


@contextmanager
def end_overwritten() -> Iterator[Laws]:
    """A cancel does not mind that the task is over, and neither does the table of states."""
    original = Cancellation._try

    async def regardless(self: Any, known: Task, by: str) -> None:
        if not known.state.terminal:
            await original(self, known, by)
            return
        assert known.updated_at is not None
        known.fail(known.updated_at, Reason.CANCELLED, {"kind": "cancelled", "message": "after its end"})
        await self._journal.commit(known.change())

    with (
        patch.object(Cancellation, "_try", regardless),
        patch.object(task, "check_transition", lambda _source, _target: None),
    ):
        yield Laws()


@contextmanager
def lost_attempt_not_counted() -> Iterator[Laws]:
    """An attempt whose executor was lost is forgotten."""

    def uncounted(task: Task, now: datetime) -> RetryAt | GiveUp:
        task.attempt -= 1
        return after_executor_lost(task, now)

    with patch.object(upkeep, "after_executor_lost", uncounted):
        yield Laws()


@contextmanager
def answered_before_the_commit() -> Iterator[Laws]:
    """A submission does not wait for its commit."""
    original = SubmissionHandler._store

    async def hasty(self: Any, *what: Any) -> Submission:
        journal, self._journal = self._journal, _HastyJournal(self._journal)
        try:
            return await original(self, *what)
        finally:
            self._journal = journal

    with patch.object(SubmissionHandler, "_store", hasty):
        yield Laws()


class _HastyJournal:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.admit = journal.admit

    def commit(self, change: Change) -> "asyncio.Future[None]":
        self._journal.commit(change)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@contextmanager
def refused_holder_goes_on() -> Iterator[Laws]:
    """A holder whose change was refused takes its next step on the version that the change would have led to."""
    with patch.object(Holding, "lose", lambda _holding: None):
        yield Laws()


@contextmanager
def stop_not_heard() -> Iterator[Laws]:
    """Time-outs and cancels do not reach what runs."""
    with patch.object(StopSignal, "set", lambda _signal, _reason: None):
        yield Laws()


@contextmanager
def word_dropped() -> Iterator[Laws]:
    """An acknowledgement left for a task's holder is answered, and not kept."""
    with patch.object(ModelDatabase, "want_acknowledgement", lambda _model, _task_id, sequence: sequence):
        yield Laws()


MUTATIONS: dict[Mutation, str] = {
    fence_removed: "I5",
    key_not_unique: "I2",
    rescue_keeps_the_version: "I5",
    release_skipped: "I8",
    pool_not_released: "I8",
    end_overwritten: "I5",
    lost_attempt_not_counted: "I5",
    answered_before_the_commit: "I1",
    refused_holder_goes_on: "I5",
    stop_not_heard: "I7",
    word_dropped: "I4",
}
"""Each mutation, and the invariant that it is known to violate."""
