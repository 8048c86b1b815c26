"""A Postgres of a test's own that can be crashed: killed with all of its processes, as by a power cut of its host."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil

from app.storage import migrations
from app.storage.embedded import EmbeddedPostgres
from tests.faults.invariants import looking_into
from tests.support.waiting import eventually

BACK_WITHIN_S = 60.0


class CrashingPostgres:
    """The embedded server, which comes up again by itself. `outages_s` are how long it was away each time."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.url = server.url
        self.outages_s: list[float] = []
        self._server = server

    async def crash(self) -> None:
        """Kills it, and waits until it answers again.

        With all of its children: those that are left would go on committing for a while, and be in the way of the next
        start.
        """
        assert self._server.process_id is not None
        parent = psutil.Process(self._server.process_id)
        began = asyncio.get_running_loop().time()
        for process in [*parent.children(recursive=True), parent]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        await eventually(self._answers, "Postgres is back", BACK_WITHIN_S, passing=(OSError, asyncpg.PostgresError))
        self.outages_s.append(asyncio.get_running_loop().time() - began)

    async def _answers(self) -> bool:
        async with looking_into(self.url) as connection:
            return bool(await connection.fetchval("SELECT 1"))


@asynccontextmanager
async def crashing_postgres(folder: Path) -> AsyncIterator[CrashingPostgres]:
    """With the schema, and with nothing in it."""
    async with EmbeddedPostgres(folder) as server:
        await migrations.upgrade(server.url)
        yield CrashingPostgres(server)
