"""A Postgres of a test's own, which may be stopped, killed, frozen and starved without harm to any other test."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from app.storage import migrations
from app.storage.database import driver_dsn
from app.storage.embedded import EmbeddedPostgres
from app.storage.embedded.directory import ServerDirectory
from app.storage.embedded.identity import Identity


class OwnPostgres:
    """The embedded server, without the watch that would start it again."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder)
        self.url = ""

    @property
    def identity(self) -> Identity:
        """The account that it runs as."""
        assert self._server._identity is not None, "it has been started"
        return self._server._identity

    @property
    def directory(self) -> ServerDirectory:
        """Its folder."""
        return self._server._directory

    async def start(self) -> None:
        """Starts it; recovers first where it was killed."""
        self.url = await self._server.start()
        assert self._server._watch is not None
        self._server._watch.cancel()

    async def stop(self) -> None:
        """Shuts it down, with an end to all connections."""
        self.thaw()
        await self._server.stop()

    def processes(self) -> list[psutil.Process]:
        """The postmaster and all of its children, the newest first."""
        number = self._server.process_id
        if number is None:
            return []
        postmaster = psutil.Process(number)
        return [*reversed(postmaster.children(recursive=True)), postmaster]

    def freeze(self) -> None:
        """Stops every process of it where it stands; connections stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets them go on."""
        self._signal(signal.SIGCONT)

    async def crash(self) -> None:
        """Kills every process of it. Killing the postmaster alone would leave some committing for a while."""
        # No new ones while the others are killed.
        self.freeze()
        self._signal(signal.SIGKILL)
        await self._server.stop()

    async def execute(self, *statements: str) -> None:
        """Runs statements over a connection that is closed again."""
        connection = await asyncpg.connect(driver_dsn(self.url))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def ask(self, question: str) -> Any:
        """What it answers to a statement that has one value."""
        connection = await asyncpg.connect(driver_dsn(self.url))
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    async def restart(self, how: signal.Signals) -> None:
        """As `pg_ctl restart`: SIGINT for -m fast, SIGQUIT for -m immediate."""
        postmaster = self.processes()[-1]
        postmaster.send_signal(how)
        await asyncio.to_thread(postmaster.wait)
        await self._server.stop()
        await self.start()

    def _signal(self, number: signal.Signals) -> None:
        # The postmaster first: it would take the end of a child for a crash, and start children meanwhile.
        for process in reversed(self.processes()):
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue


@asynccontextmanager
async def own_postgres(folder: Path) -> AsyncIterator[OwnPostgres]:
    """A running one with the current schema."""
    postgres = OwnPostgres(folder)
    await postgres.start()
    try:
        await migrations.upgrade(postgres.url)
        yield postgres
    finally:
        await postgres.stop()
