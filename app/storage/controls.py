"""What operators want of nodes and of kinds of task: who pauses what, for all nodes to read.

A node's mode stands in its entry and goes with it: a node that starts anew serves. A paused kind stays paused until it
is resumed, whichever nodes come and go.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.storage.database import Database
from app.storage.tables import nodes, paused_types


class Mode(StrEnum):
    """What a node is to do: take tasks, finish those it runs, or also hand back what does not finish in time."""

    SERVING = "serving"
    PAUSED = "paused"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of one node. `others_serve` says that tasks which it does not take can run elsewhere."""

    mode: Mode
    paused_types: frozenset[str]
    others_serve: bool


@dataclass(frozen=True, slots=True)
class PausedType:
    """A kind of task that no node starts, since when, and by whose wish."""

    type: str
    paused_at: datetime
    paused_by: str


class Controls:
    """The wishes of operators. All raise StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def wanted(self, node_id: str) -> Wanted:
        """What is wanted of a node; one without an entry serves."""
        living = select(nodes.c.node_id, nodes.c.mode).where(nodes.c.expires_at > func.clock_timestamp())
        async with self._database.connect() as connection:
            modes = {row.node_id: Mode(row.mode) for row in await connection.execute(living)}
            paused = await connection.execute(select(paused_types.c.type))
        own = modes.pop(node_id, Mode.SERVING)
        return Wanted(own, frozenset(paused.scalars()), Mode.SERVING in modes.values())

    async def set_mode(self, node_id: str, mode: Mode) -> bool:
        """Wants a node to be in this mode; False where no such node lives."""
        change = (
            update(nodes)
            .where(nodes.c.node_id == node_id, nodes.c.expires_at > func.clock_timestamp())
            .values(mode=mode.value)
            .returning(nodes.c.node_id)
        )
        async with self._database.connect() as connection:
            return (await connection.execute(change)).first() is not None

    async def pause_type(self, name: str, by: str) -> PausedType:
        """Lets no node start tasks of this kind. Who wanted it first is kept."""
        entry = insert(paused_types).values(type=name, paused_at=func.clock_timestamp(), paused_by=by)
        entry = entry.on_conflict_do_nothing(index_elements=[paused_types.c.type])
        async with self._database.connect() as connection:
            await connection.execute(entry)
            found = await connection.execute(select(paused_types).where(paused_types.c.type == name))
            return _paused(found.one())

    async def resume_type(self, name: str) -> None:
        """Tasks of this kind may start again; nothing happens where they might already."""
        async with self._database.connect() as connection:
            await connection.execute(delete(paused_types).where(paused_types.c.type == name))

    async def paused_types(self) -> list[PausedType]:
        """All kinds that are paused, by name."""
        async with self._database.connect() as connection:
            rows = await connection.execute(select(paused_types).order_by(paused_types.c.type))
            return [_paused(row) for row in rows]


def _paused(row: Row[tuple[str, datetime, str]]) -> PausedType:
    return PausedType(row.type, row.paused_at, row.paused_by)
