"""The nodes that share one Postgres: each says that it is there, and what it has."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from app.clock import clock
from app.protocol.resources import Amounts, Resources
from app.storage.controls import Mode
from app.storage.database import Database
from app.storage.tables import nodes


@dataclass(frozen=True, slots=True)
class Node:
    """A node that has been heard of within its lease. `resources` is its own account; `mode` what operators want."""

    node_id: str
    started_at: datetime
    resources: dict[str, Any]
    mode: Mode


class Nodes:
    """This node's entry among all. Times are the database's."""

    def __init__(self, database: Database, *, node_id: str, lease_s: float) -> None:
        self._database = database
        self._node_id = node_id
        self._lease = func.make_interval(0, 0, 0, 0, 0, 0, lease_s)

    async def report(self, resources: dict[str, Any]) -> dict[str, Amounts]:
        """Says that this node lives and what it has; answers the capacity of each other one that does, by its name.

        This process's clock follows the database's. Raises StorageUnavailable.
        """
        now = func.clock_timestamp()
        entry = insert(nodes).values(
            node_id=self._node_id, started_at=now, expires_at=now + self._lease, resources=resources
        )
        entry = entry.on_conflict_do_update(
            index_elements=[nodes.c.node_id],
            set_={"expires_at": entry.excluded.expires_at, "resources": entry.excluded.resources},
        )
        time_s = func.extract("epoch", func.clock_timestamp())
        others = select(nodes.c.node_id, nodes.c.resources["capacity"].label("capacity")).where(
            nodes.c.node_id != self._node_id, nodes.c.expires_at > now
        )
        async with self._database.connect() as connection:
            asked_s = clock.seconds()
            clock.follow(float((await connection.execute(entry.returning(time_s))).scalar_one()), asked_s)
            rows = (await connection.execute(others)).all()
        return {row.node_id: Resources.model_validate_json(row.capacity).amounts() for row in rows}

    async def all(self) -> list[Node]:
        """Every node that lives, this one among them. Raises StorageUnavailable."""
        statement = select(nodes).where(nodes.c.expires_at > func.clock_timestamp()).order_by(nodes.c.node_id)
        async with self._database.connect() as connection:
            rows = (await connection.execute(statement)).all()
        return [Node(row.node_id, row.started_at, json.loads(row.resources), Mode(row.mode)) for row in rows]

    async def leave(self) -> None:
        """Takes this node off the list, and with it those that have long been silent."""
        gone = func.clock_timestamp() - func.make_interval(0, 0, 0, 1)
        async with self._database.connect() as connection:
            await connection.execute(
                delete(nodes).where((nodes.c.node_id == self._node_id) | (nodes.c.expires_at < gone))
            )
