"""All secrets of webhooks sealed anew, those of submitters and those of single callbacks: for another sealing key."""

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import LargeBinary, Select, Table, bindparam, func, select, update

from app.protocol.callbacks import sealing_purpose
from app.storage.database import Database
from app.storage.delivery_tables import deliveries, webhook_secrets

BATCH = 500

SealAnew = Callable[[bytes, str], bytes | None]
"""The same secret, given as it was sealed and for what, under the current key; None for one that does not open."""


class Resealed(NamedTuple):
    """How many secrets were sealed anew, and how many could not be opened and are as they were."""

    done: int
    left: int


class _Place(NamedTuple):
    table: Table
    key: str
    sealed: str
    purpose_of: Callable[[str], str]


_PLACES = (
    _Place(webhook_secrets, "secret_id", "sealed", str),
    _Place(deliveries, "task_id", "sealed_secret", sealing_purpose),
)


async def reseal(database: Database, key_id: bytes, seal_anew: SealAnew) -> Resealed:
    """Seals anew what does not begin with `key_id`, beside services that run. Raises StorageUnavailable.

    A secret that is replaced meanwhile is left alone.
    """
    counts = [await _reseal(database, place, key_id, seal_anew) for place in _PLACES]
    return Resealed(sum(each.done for each in counts), sum(each.left for each in counts))


async def _reseal(database: Database, place: _Place, key_id: bytes, seal_anew: SealAnew) -> Resealed:
    key, sealed = place.table.c[place.key], place.table.c[place.sealed]
    change = (
        update(place.table)
        .where(key == bindparam("of"), sealed == bindparam("former"))
        .values({sealed: bindparam("anew", type_=LargeBinary)})
    )
    done = left = 0
    last: str | None = None
    while True:
        async with database.connect() as connection:
            rows = (await connection.execute(_others(place, key_id, last))).all()
            changes = [
                {"of": of, "former": former, "anew": anew}
                for of, submitter, former in rows
                if (anew := seal_anew(former, place.purpose_of(submitter))) is not None
            ]
            if changes:
                await connection.execute(change, changes)
        done, left = done + len(changes), left + len(rows) - len(changes)
        if len(rows) < BATCH:
            return Resealed(done, left)
        last = str(rows[-1][0])


def _others(place: _Place, key_id: bytes, last: str | None) -> Select[str, str, bytes]:
    """What is sealed with another key: its row's key, its submitter and itself, a batch behind the `last` one."""
    key, sealed = place.table.c[place.key], place.table.c[place.sealed]
    statement = select(key, place.table.c.submitter, sealed).where(func.substring(sealed, 1, len(key_id)) != key_id)
    if last is not None:
        statement = statement.where(key > last)
    return statement.order_by(key).limit(BATCH)
