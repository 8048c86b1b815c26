"""Subjects and tokens that count no more although their tokens have not expired, the same at all nodes."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from app.protocol.ids import uuid7
from app.storage.caller_tables import revocations
from app.storage.database import Database
from app.storage.errors import StorageError

Kind = Literal["subject", "token_id"]

MAX_REVOCATIONS = 10_000
"""In force at once. All of them are held in memory by every node and read again every few seconds."""


class TooManyRevocations(StorageError):
    """The list is full."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """The tokens of a subject, or the token of one id (`jti`), are refused before the time `until`."""

    revocation_id: str
    kind: Kind
    value: str
    until: datetime
    revoked_at: datetime
    revoked_by: str


class Revocations:
    """The list in the database. `read` hears of all that are in force, whenever they were read or changed here.

    All methods raise StorageUnavailable; then what was read last keeps counting.
    """

    def __init__(self, database: Database, read: Callable[[Sequence[Revocation]], None]) -> None:
        self._database = database
        self._read = read

    async def refresh(self) -> None:
        """Reads the list anew. For repetition: it tells this node what others have changed."""
        self._read(await self.page(MAX_REVOCATIONS, None))

    async def page(self, limit: int, before: str | None) -> list[Revocation]:
        """Those in force, newest first, at most `limit`, older than the one of the id `before`."""
        statement = select(revocations).where(revocations.c.until > func.clock_timestamp())
        if before is not None:
            statement = statement.where(revocations.c.revocation_id < before)
        statement = statement.order_by(revocations.c.revocation_id.desc()).limit(limit)
        async with self._database.connect() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [Revocation(**row) for row in rows]

    async def add(self, kind: Kind, value: str, until: datetime, by: str) -> Revocation:
        """Revokes; one that is revoked already gets the new end. In force here at once. Raises TooManyRevocations."""
        entry = insert(revocations).values(
            revocation_id=str(uuid7(int(time.time() * 1000), secrets.randbits(74))),
            kind=kind,
            value=value,
            until=until,
            revoked_at=func.clock_timestamp(),
            revoked_by=by,
        )
        renewed = {name: entry.excluded[name] for name in ("until", "revoked_at", "revoked_by")}
        entry = entry.on_conflict_do_update(index_elements=[revocations.c.kind, revocations.c.value], set_=renewed)
        async with self._database.connect() as connection:
            await connection.execute(delete(revocations).where(revocations.c.until <= func.clock_timestamp()))
            row = (await connection.execute(entry.returning(revocations))).mappings().one()
            count = (await connection.execute(select(func.count()).select_from(revocations))).scalar_one()
            if count > MAX_REVOCATIONS:
                raise TooManyRevocations(f"{MAX_REVOCATIONS} revocations are in force")
        await self.refresh()
        return Revocation(**row)

    async def lift(self, revocation_id: str) -> Revocation | None:
        """Takes one off the list, here at once; None where there is none of this id."""
        statement = delete(revocations).where(revocations.c.revocation_id == revocation_id).returning(revocations)
        async with self._database.connect() as connection:
            row = (await connection.execute(statement)).mappings().first()
        await self.refresh()
        return None if row is None else Revocation(**row)
