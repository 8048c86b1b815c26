"""The connection to Postgres: one engine for all, and the driver underneath it for the hot statements."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import AsyncAdaptedQueuePool, event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.fault_points import reached
from app.storage.availability import Availability
from app.storage.errors import StorageUnavailable, is_unavailable, stood_in_the_way

CONNECT_TIMEOUT_S = 3
LET_FINISH_S = 0.5
"""How long the end waits for a connection that is about to be made and not wanted any more."""
STATEMENT_TIMEOUT_S = 5.0
ABANDONED_AFTER_S = 10.0

TRIES = 4
"""How often a statement is sent that other transactions stand in the way of."""

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
        self._arguments: dict[str, Any] = {
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": statement_timeout_s,
            "server_settings": {**_server_settings(statement_timeout_s), "application_name": "task-executor"},
        }
        self._kept: asyncpg.Connection | None = None
        self._opening: set[asyncio.Future[asyncpg.Connection]] = set()
        self.availability = Availability(self._ask_over_kept, self._ask_over_new)
        self._outages = 0
        self.availability.on_away(self._count_outage)
        self.engine: AsyncEngine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=5,
            pool_timeout=2,
            connect_args={"async_creator_fn": self._open_for_pool, **self._arguments},
            # JSON is read as the text it is stored as: parsing it would lose what the history's hash covers.
            json_deserializer=str,
        )
        event.listen(self.engine.sync_engine, "connect", self._connected)
        event.listen(self.engine.sync_engine, "checkout", self._checked_out)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection from the pool, in a transaction that commits at the end.

        Raises StorageUnavailable where the database is away, at the start or later.
        """
        self.availability.check()
        try:
            with self.availability.operation() as operation:
                async with self.engine.begin() as connection:
                    operation.abort = _driver_of(connection).terminate
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
        await self.availability.close()
        if self._opening:
            await asyncio.wait(self._opening, timeout=LET_FINISH_S)
        if self._kept is not None:
            self._kept.terminate()
        await self.engine.dispose()

    async def open(
        self, settings: Mapping[str, str] | None = None, statement_timeout_s: float | None = None
    ) -> asyncpg.Connection:
        """A connection of the caller's own. Raises TimeoutError, OSError, PostgresError, StorageUnavailable."""
        arguments = {**self._arguments, "server_settings": {**self._arguments["server_settings"], **(settings or {})}}
        if statement_timeout_s is not None:
            arguments["command_timeout"] = statement_timeout_s
            arguments["server_settings"]["statement_timeout"] = f"{statement_timeout_s * 1000:.0f}"
        return await self._open(dsn=driver_dsn(self.url), **arguments)

    def dedicated(self, name: str, statement_timeout_s: float | None = None) -> "DedicatedConnection":
        """A connection outside of the pool for hot statements, opened at first use and again after a loss.

        Its fault points begin with `name`. A statement may take as long as any other, unless told otherwise.
        """
        return DedicatedConnection(name, self, statement_timeout_s)

    def _count_outage(self) -> None:
        self._outages += 1

    def _connected(self, _connection: Any, record: Any) -> None:
        record.info["outages"] = self._outages

    def _checked_out(self, connection: Any, record: Any, _proxy: Any) -> None:
        """A connection that the server has closed, or that is older than an outage, is replaced before it is used."""
        driver = connection.driver_connection
        if driver.is_closed() or record.info["outages"] != self._outages:
            driver.terminate()
            raise DisconnectionError

    async def _open_for_pool(self, **arguments: Any) -> asyncpg.Connection:
        return await self._open(**arguments)

    async def _open(self, **arguments: Any) -> asyncpg.Connection:
        self.availability.check()
        await reached("connection.before_open")
        async with asyncio.timeout(CONNECT_TIMEOUT_S) as limit:
            with self.availability.operation(lambda: _expire(limit)):
                return await asyncpg.connect(**arguments)

    async def _ask_over_kept(self) -> None:
        if self._kept is None:
            raise StorageUnavailable("there is no connection to ask over")
        try:
            await self._kept.fetchval("SELECT 1")
        except BaseException:
            # Whatever it still answers would be taken for the answer to another question.
            self._kept.terminate()
            self._kept = None
            raise

    async def _ask_over_new(self) -> None:
        # It is let finish where it is not wanted any more: interrupted at the moment at which the server takes the
        # connection, asyncpg leaves a failed future behind, and asyncio complains of it as of an error.
        opening = asyncio.ensure_future(asyncpg.connect(dsn=driver_dsn(self.url), **self._arguments))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        try:
            connection = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_let_go)
            raise
        except asyncpg.PostgresError as error:
            if isinstance(error, asyncpg.OperatorInterventionError):
                raise
            # It refuses to let us in, for want of places perhaps: that is an answer.
            return
        former, self._kept = self._kept, connection
        if former is not None:
            former.terminate()


class DedicatedConnection:
    """One asyncpg connection, one statement at a time; each statement is its own transaction.

    Not from the pool: what commits for everybody must not wait behind a slow reader.
    """

    def __init__(self, name: str, database: Database, statement_timeout_s: float | None) -> None:
        self._statement_timeout_s = statement_timeout_s
        self._before_send, self._after_reply = f"{name}.before_send", f"{name}.after_reply"
        self._database = database
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Runs one statement, again where another transaction stood in its way.

        Raises StorageUnavailable; then nobody knows whether it was carried out.
        """
        async with self._turn:
            for _ in range(TRIES):
                try:
                    return await self._fetch(statement, arguments)
                except asyncpg.PostgresError as error:
                    if not stood_in_the_way(error):
                        raise
            raise StorageUnavailable("other transactions stand in the way")

    async def _fetch(self, statement: str, arguments: tuple[Any, ...]) -> list[asyncpg.Record]:
        self._database.availability.check()
        try:
            with self._database.availability.operation(self.terminate):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._database.open(HOT_PLAN, self._statement_timeout_s)
                await reached(self._before_send)
                rows: list[asyncpg.Record] = await self._connection.fetch(statement, *arguments)
                await reached(self._after_reply)
        except StorageUnavailable:
            raise
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


def _server_settings(statement_timeout_s: float) -> dict[str, str]:
    """What the server does about clients that it has lost without a word: it must not keep their locks.

    The rest is as the statements here were written for, whatever the database, or the role, is set to: a guard that
    finds a row changed meanwhile has to see the change, and is refused at any higher isolation; compiling a statement
    takes longer than any of ours does.
    """
    return {
        "timezone": "UTC",
        "default_transaction_isolation": "read committed",
        "jit": "off",
        "statement_timeout": f"{statement_timeout_s * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{ABANDONED_AFTER_S * 1000:.0f}",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }


def _expire(limit: asyncio.Timeout) -> None:
    if not limit.expired():
        limit.reschedule(0)


def _let_go(opening: asyncio.Future[asyncpg.Connection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().terminate()


def _driver_of(connection: AsyncConnection) -> asyncpg.Connection:
    assert connection.sync_connection is not None, "it has begun"
    return connection.sync_connection.connection.driver_connection


def async_url(url: str) -> str:
    """The URL with the driver that the service uses: postgres://, postgresql:// and +asyncpg are all welcome."""
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    return parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def driver_dsn(url: str) -> str:
    """The same URL as libpq spells it, which asyncpg reads."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
