"""One embedded Postgres for a whole test run, shared by all workers, and a fresh database of it for each test.

The server is as durable as in service: the service refuses one that is not. Another Postgres serves instead where
TESTS_POSTGRES_URL names one (a role that may create databases), for example the oldest version supported.
"""

import os
import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from app.storage.embedded import SERVICE_ROLE, DataDirectoryInUse, EmbeddedPostgres
from app.storage.embedded.directory import DirectoryLock
from tests.support.loop_thread import LoopThread

FOLDER_PREFIX = "task-executor-tests-"
TEMPLATE = "template_migrated"
# Any number will do, if all workers use the same one.
TEMPLATE_LOCK = 4_711


class SharedServer:
    """Owns the server: the controller of a parallel run, or the only process of a plain one."""

    def __init__(self) -> None:
        _remove_abandoned()
        self._loop = LoopThread()
        self._folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        self._server = EmbeddedPostgres(self._folder)
        self.url = os.environ.get("TESTS_POSTGRES_URL") or self._loop.run(self._server.start())

    def close(self) -> None:
        """Stops the server and removes its folder."""
        self._loop.run(self._server.stop())
        self._loop.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _remove_abandoned() -> None:
    """Removes what killed test runs have left: folders whose lock nobody holds any more."""
    for lock in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*/postgres/lock"):
        folder = lock.parents[1]
        with suppress(DataDirectoryInUse, OSError):
            DirectoryLock.take(lock, folder).release()
            shutil.rmtree(folder, ignore_errors=True)


class Databases:
    """Makes databases on the server and drops them; one for each worker process."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._loop = LoopThread()
        self._has_template = False

    def close(self) -> None:
        """Ends its thread."""
        self._loop.close()

    def create(self, *, migrated: bool) -> str:
        """A new database, with the schema or empty; returns its URL."""
        return self._loop.run(self._create(migrated=migrated))

    def drop(self, url: str) -> None:
        """Drops the database, whoever is still connected to it."""
        self._loop.run(self._execute(f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)'))

    async def _create(self, *, migrated: bool) -> str:
        name = f"test_{uuid.uuid4().hex}"
        if migrated and not self._has_template:
            await self._make_template()
            self._has_template = True
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE if migrated else "template0"}')
        return self._url_of(name)

    async def _make_template(self) -> None:
        """Migrates once for all workers: the first one does it, the others wait. Renamed only when complete."""
        from app.storage import migrations  # noqa: PLC0415 - tests without a database need no migrations
        from app.storage.grants import grant_to  # noqa: PLC0415 - likewise

        connection = await asyncpg.connect(_dsn(self._server_url))
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", TEMPLATE_LOCK)
            if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", TEMPLATE):
                return
            await connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}_unfinished")
            await connection.execute(f"CREATE DATABASE {TEMPLATE}_unfinished TEMPLATE template0")
            await migrations.upgrade(self._url_of(f"{TEMPLATE}_unfinished"))
            await grant_to(self._url_of(f"{TEMPLATE}_unfinished"), SERVICE_ROLE, make=True)
            await connection.execute(f"ALTER DATABASE {TEMPLATE}_unfinished RENAME TO {TEMPLATE}")
        finally:
            await connection.close()

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(_dsn(self._server_url))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _url_of(self, name: str) -> str:
        return make_url(self._server_url).set(database=name).render_as_string(hide_password=False)


def for_service(url: str) -> str:
    """The URL for the role that cannot change what is recorded; a Postgres of others has no way in for it."""
    if "TESTS_POSTGRES_URL" in os.environ:
        return url
    return make_url(url).set(username=SERVICE_ROLE).render_as_string(hide_password=False)


def _dsn(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
