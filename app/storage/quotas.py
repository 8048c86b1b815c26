"""The quotas that admins have set, as every node has read them lately.

The counted ones (queued, running, held, stored_bytes) are looked up by the journal's statement itself, and so are in
force at once; the rate and the weight are in force when a node has read them again.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from app.protocol.quotas import NO_LIMIT, RATE_OFF, UNLIMITED, Count, Quota
from app.protocol.rates import Rate
from app.protocol.resources import Amounts, to_wire
from app.storage.caller_tables import quotas
from app.storage.counting import number_of
from app.storage.database import Database
from app.storage.usage import Usage

LOOK_S = 2.0
"""Seconds between two looks at what is set."""


@dataclass(frozen=True, slots=True)
class SetQuota:
    """What is set for a submitter, since when, and by whom."""

    submitter: str
    quota: Quota
    set_at: datetime
    set_by: str


class Quotas:
    """See the module's docstring. `default` is in force where nothing is set."""

    def __init__(self, database: Database, default: Quota) -> None:
        self._database = database
        self.usage = Usage(database)
        self.default = default
        self._in_force: dict[str, Quota] = {}
        self.weights: Mapping[str, float] = _Weights(self.of, lambda: self._in_force)

    async def start(self) -> None:
        """Begins to count where the default has to be counted, and reads what is set. Raises StorageUnavailable."""
        if self.default.counts:
            await self.usage.begin()
        await self.look()

    async def look(self) -> None:
        """Reads what is set. Raises StorageUnavailable."""
        self._in_force = {each.submitter: each.quota.over(self.default) for each in await self.all()}

    def of(self, submitter: str) -> Quota:
        """What is in force for a submitter."""
        return self._in_force.get(submitter, self.default)

    def rate_of(self, submitter: str) -> Rate | None:
        """How often a submitter may call; None: as often as it likes."""
        return _rate(self.of(submitter).rate)

    async def violated_by(self, submitter: str, size: int) -> list[str]:
        """The quotas that one more message of so many bytes would be beyond. Raises StorageUnavailable."""
        quota = self.of(submitter)
        if not quota.counts:
            return []
        use = await self.usage.of(submitter)
        wanted = {"queued": use.queued + 1, "stored_bytes": use.stored_bytes + size}
        return [name for name, amount in wanted.items() if amount > number_of(getattr(quota, name))]

    async def all(self) -> list[SetQuota]:
        """Everything that is set, by submitter. Raises StorageUnavailable."""
        async with self._database.connect() as connection:
            rows = (await connection.execute(select(quotas).order_by(quotas.c.submitter))).all()
        return [SetQuota(row.submitter, _quota(row), row.set_at, row.set_by) for row in rows]

    async def find(self, submitter: str) -> SetQuota | None:
        """What is set for a submitter, as the database has it now. Raises StorageUnavailable."""
        async with self._database.connect() as connection:
            row = (await connection.execute(select(quotas).where(quotas.c.submitter == submitter))).first()
        return None if row is None else SetQuota(row.submitter, _quota(row), row.set_at, row.set_by)

    async def put(self, submitter: str, quota: Quota, by: str) -> None:
        """Sets all of a submitter's quota; what it leaves out is then as for everybody. Raises StorageUnavailable."""
        if quota.counts:
            await self.usage.begin()
        values = _columns(quota)
        row = insert(quotas).values(submitter=submitter, set_at=func.clock_timestamp(), set_by=by, **values)
        row = row.on_conflict_do_update(
            index_elements=[quotas.c.submitter],
            set_={name: row.excluded[name] for name in (*values, "set_at", "set_by")},
        )
        async with self._database.connect() as connection:
            await connection.execute(row)
        await self.look()

    async def remove(self, submitter: str) -> bool:
        """Sets nothing for a submitter any more; False where nothing was set. Raises StorageUnavailable."""
        async with self._database.connect() as connection:
            removed = await connection.execute(delete(quotas).where(quotas.c.submitter == submitter))
        await self.look()
        return bool(removed.rowcount)


class _Weights(Mapping[str, float]):
    """The weights as they are now, anybody's: who asks for one keeps no copy. Those that are set are gone through."""

    def __init__(self, of: Callable[[str], Quota], in_force: Callable[[], Mapping[str, Quota]]) -> None:
        self._of = of
        self._in_force = in_force

    def __getitem__(self, submitter: str) -> float:
        weight = self._of(submitter).weight
        return 1.0 if weight is None else weight

    def __iter__(self) -> Iterator[str]:
        return iter(self._in_force())

    def __len__(self) -> int:
        return len(self._in_force())


@lru_cache(maxsize=1024)
def _rate(text: str | None) -> Rate | None:
    """One and the same object for one text."""
    return None if text is None or text == RATE_OFF else Rate.parse(text)


def _columns(quota: Quota) -> dict[str, Any]:
    numbers = {
        name: None if (limit := getattr(quota, name)) is None else number_of(limit)
        for name in ("queued", "running", "stored_bytes")
    }
    held = None if quota.held is None else quota.limits()
    return {**numbers, "held": held, "rate": quota.rate, "weight": quota.weight}


def _quota(row: Any) -> Quota:
    held: Amounts | None = None if row.held is None else json.loads(row.held)
    return Quota.model_validate(
        {
            **{name: _limit(getattr(row, name)) for name in ("queued", "running", "stored_bytes")},
            "held": None if held is None else to_wire(held),
            "rate": row.rate,
            "weight": row.weight,
        }
    )


def _limit(number: int | None) -> Count | None:
    return UNLIMITED if number == NO_LIMIT else number
