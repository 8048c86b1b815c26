"""Deliveries as people look at them: how a task's stand, each attempt, which are failing; and sending again."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, case, func, or_, select, update

from app.storage.database import Database
from app.storage.delivery_tables import deliveries as table
from app.storage.delivery_tables import delivery_attempts

UNDER_WAY_S = 15.0
"""Seconds that an attempt under way is left to end before a delivery that is to begin anew does."""


class DeliveryStatus(NamedTuple):
    """How the delivery of one task's messages stands. `state` is active, delivered, gone or dead."""

    task_id: str
    submitter: str
    url: str
    events: str | None
    acknowledged_by: str
    state: str
    wanted_sequence: int
    delivered_sequence: int
    attempts: int
    failures: int
    last_outcome: str | None
    last_attempt_at: datetime | None
    waiting_since: datetime | None
    next_attempt_at: datetime | None
    has_own_secret: bool


class LoggedAttempt(NamedTuple):
    """One attempt, as it is kept."""

    attempt: int
    sequence: int
    attempted_at: datetime
    outcome: str
    duration_ms: int
    next_attempt_at: datetime | None


_PLAIN = [table.c[name] for name in DeliveryStatus._fields[:-1]]
_STATUS = [*_PLAIN, table.c.sealed_secret.is_not(None).label("has_own_secret")]
_ATTEMPT = [delivery_attempts.c[name] for name in LoggedAttempt._fields]
_FAILING = or_(table.c.failures > 0, table.c.state.in_(("gone", "dead")))


class DeliveryLog:
    """See the module's docstring. All of it raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def status(self, task_id: str) -> DeliveryStatus | None:
        """How a task's delivery stands; None where it has no callback."""
        found = await self._statuses(table.c.task_id == task_id)
        return found[0] if found else None

    async def attempts(self, task_id: str, before: int | None, limit: int) -> list[LoggedAttempt]:
        """A task's attempts, the last first; only those before attempt number `before`, where one is given."""
        statement = (
            select(*_ATTEMPT)
            .where(delivery_attempts.c.task_id == task_id)
            .order_by(delivery_attempts.c.attempt.desc())
            .limit(limit)
        )
        if before is not None:
            statement = statement.where(delivery_attempts.c.attempt < before)
        async with self._database.connect() as connection:
            return [LoggedAttempt(*row) for row in await connection.execute(statement)]

    async def failing(self, state: str | None, before: str | None, limit: int) -> list[DeliveryStatus]:
        """Deliveries that fail or have been ended, those of the newest tasks first; only behind the task `before`."""
        conditions: list[ColumnElement[bool]] = [_FAILING]
        if state is not None:
            conditions.append(table.c.state == state)
        if before is not None:
            conditions.append(table.c.task_id < before)
        return await self._statuses(*conditions, limit=limit)

    async def sealed_secret(self, task_id: str) -> bytes | None:
        """The sealed secret of a task's callback, where it has one of its own."""
        async with self._database.connect() as connection:
            statement = select(table.c.sealed_secret).where(table.c.task_id == task_id)
            found: bytes | None = (await connection.execute(statement)).scalar_one_or_none()
            return found

    async def redeliver(self, task_id: str, sequence: int) -> DeliveryStatus | None:
        """Sends everything from `sequence` on once more, acknowledged or not, whatever has become of the delivery.

        Races with an attempt under way: its outcome counts no more, and the new start waits for its end.
        """
        found = await self._restart(table.c.task_id == task_id, {"delivered_sequence": sequence - 1})
        return found[0] if found else None

    async def revive(self, task_ids: list[str] | None, state: str | None, limit: int) -> list[DeliveryStatus]:
        """Goes on with deliveries that fail or have been ended, where each of them stands."""
        conditions: list[ColumnElement[bool]] = [_FAILING]
        if task_ids is not None:
            conditions.append(table.c.task_id.in_(task_ids))
        if state is not None:
            conditions.append(table.c.state == state)
        chosen = select(table.c.task_id).where(*conditions).order_by(table.c.task_id).limit(limit).with_for_update()
        return await self._restart(table.c.task_id.in_(chosen), {})

    async def _restart(self, which: ColumnElement[bool], values: dict[str, Any]) -> list[DeliveryStatus]:
        now = func.clock_timestamp()
        soon = now + func.make_interval(0, 0, 0, 0, 0, 0, UNDER_WAY_S)
        statement = (
            update(table)
            .where(which)
            .values(
                state="active",
                failures=0,
                redeliver_until=table.c.wanted_sequence,
                waiting_since=now,
                next_attempt_at=now,
                claim=table.c.claim + 1,
                claimed_until=case((table.c.claimed_until > now, func.least(table.c.claimed_until, soon))),
                **values,
            )
            .returning(*_STATUS)
        )
        async with self._database.connect() as connection:
            return [DeliveryStatus(*row) for row in await connection.execute(statement)]

    async def _statuses(self, *conditions: ColumnElement[bool], limit: int = 1) -> list[DeliveryStatus]:
        statement = select(*_STATUS).where(*conditions).order_by(table.c.task_id.desc()).limit(limit)
        async with self._database.connect() as connection:
            return [DeliveryStatus(*row) for row in await connection.execute(statement)]
