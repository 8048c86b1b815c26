"""The connection to Postgres: one engine for all, and the driver underneath it for the hot statements."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import AsyncAdaptedQueuePool, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.fault_points import reached
from app.storage.errors import StorageUnavailable, is_unavailable

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 5.0

# The hot statements join parameters with a table by its primary key. A plan made while the table was empty
# would scan it, and a prepared statement keeps its plan; so the only join left to them is the index.
HOT_PLAN = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    # What a node cannot grant is unknown to a generic plan: it expects next to nothing of a claim, and would rather
    # read and sort the whole backlog (76 ms at 100,000 tasks) than take its head off the index in order (6 ms).
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}


class Database:
    """One Postgres. `pool_size` connections are shared; the journal and the reader have their own besides."""

    def __init__(self, url: str, *, pool_size: int = 10, statement_timeout_s: float = STATEMENT_TIMEOUT_S) -> None:
        self.url = async_url(url)
        arguments = {
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": statement_timeout_s,
            "server_settings": {"application_name": "task-executor", "timezone": "UTC"},
        }
        self._arguments = arguments
        self.engine: AsyncEngine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=5,
            pool_timeout=2,
            connect_args=arguments,
            # JSON is read as the text it is stored as: parsing it would lose what the history's hash covers.
            json_deserializer=str,
        )

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection from the pool, in a transaction that commits at the end.

        Raises StorageUnavailable where the database is away, at the start or later.
        """
        try:
            async with self.engine.begin() as connection:
                await reached("pool.before_send")
                yield connection
            await reached("pool.after_reply")
        except Exception as error:
            if is_unavailable(error):
                raise StorageUnavailable(str(error)) from error
            raise

    def connections(self) -> dict[str, int]:
        """How many of the pool's connections are in use, and how many lie ready."""
        pool = self.engine.pool
        assert isinstance(pool, AsyncAdaptedQueuePool), "what an asynchronous engine has unless told otherwise"
        return {"used": pool.checkedout(), "free": pool.checkedin()}

    async def close(self) -> None:
        """Closes the pool."""
        await self.engine.dispose()

    def dedicated(self, name: str) -> "DedicatedConnection":
        """A connection outside of the pool for hot statements, opened at first use and again after a loss.

        Its fault points begin with `name`.
        """
        return DedicatedConnection(name, self.url, self._arguments)


class DedicatedConnection:
    """One asyncpg connection, one statement at a time; each statement is its own transaction.

    Not from the pool: what commits for everybody must not wait behind a slow reader.
    """

    def __init__(self, name: str, url: str, arguments: dict[str, Any]) -> None:
        self._before_send, self._after_reply = f"{name}.before_send", f"{name}.after_reply"
        self._dsn = driver_dsn(url)
        self._arguments = {**arguments, "server_settings": {**arguments["server_settings"], **HOT_PLAN}}
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Runs one statement. Raises StorageUnavailable; then nobody knows whether it was carried out."""
        async with self._turn:
            return await self._fetch(statement, arguments)

    async def _fetch(self, statement: str, arguments: tuple[Any, ...]) -> list[asyncpg.Record]:
        try:
            if self._connection is None or self._connection.is_closed():
                await reached("connection.before_open")
                self._connection = await asyncpg.connect(self._dsn, **self._arguments)
            await reached(self._before_send)
            rows: list[asyncpg.Record] = await self._connection.fetch(statement, *arguments)
            await reached(self._after_reply)
        except Exception as error:
            if not is_unavailable(error):
                raise
            # A connection in doubt is not used again: a late answer would be taken for the next one's.
            self.terminate()
            raise StorageUnavailable(str(error)) from error
        return rows

    def terminate(self) -> None:
        """Drops the connection without a word."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Says goodbye, or drops the connection where that takes longer than a second."""
        if self._connection is not None and not self._connection.is_closed():
            try:
                await self._connection.close(timeout=1)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self.terminate()
        self._connection = None


def async_url(url: str) -> str:
    """The URL with the driver that the service uses: postgres://, postgresql:// and +asyncpg are all welcome."""
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    return parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def driver_dsn(url: str) -> str:
    """The same URL as libpq spells it, which asyncpg reads."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
