"""News between nodes: after a commit, at most one NOTIFY tells the others which tasks changed.

News only wakes: who misses it (a lost connection, a full queue) finds the same by polling. A notify is sent
after the commit and over a connection of its own, since inside the transaction it would cost half of the
throughput (Postgres commits notifying transactions one at a time), and not at all by a node that is alone.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

import asyncpg

from app.fault_points import reached
from app.storage.database import Database
from app.storage.errors import StorageUnavailable, is_unavailable

logger = logging.getLogger("app.storage")

CHANNEL = "task_executor"
MAX_NAMED = 200
"""Task ids in one notification (its payload is limited to 8,000 bytes); more are told as "anything"."""

ANYTHING = "*"
HERE = "+"
"""What a node says when it begins to listen: until the next count whoever was alone would tell it nothing."""

RECONNECT_S = 0.2

Heard = Callable[[frozenset[str] | None], None]
"""Called with the ids of changed tasks, or None where any may have changed."""


class News:
    """Sends and hears. `alone` is set by whoever counts the nodes, and not true once another is heard.

    An own notification is not heard. To be started when those who count can see this node.
    """

    def __init__(self, database: Database, heard: Heard) -> None:
        self._database = database
        database.availability.on_away(self._drop)
        self._heard = heard
        self._connection: asyncpg.Connection | None = None
        self._own_pid = 0
        self._pending: set[str] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.alone = True

    def start(self) -> None:
        """Begins to listen, and to reconnect for as long as it takes."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._send())]

    def tell(self, task_ids: Iterable[str]) -> None:
        """Tells the other nodes, soon; returns at once."""
        if not self.alone:
            self._pending.update(task_ids)
            self._wake.set()

    async def close(self) -> None:
        """Stops listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_until_lost()
            except Exception as error:
                if not isinstance(error, StorageUnavailable) and not is_unavailable(error):
                    logger.exception("cannot listen for news")
            await asyncio.sleep(RECONNECT_S)

    async def _listen_until_lost(self) -> None:
        connection = await self._database.open()
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _connection: lost.set())
            # Not asked for when something is heard: by then the connection may have been dropped.
            self._own_pid = connection.get_server_pid()
            await connection.add_listener(CHANNEL, self._hear)
            self._connection = connection
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, HERE)
            # Whatever was told while nobody listened here.
            self._heard(None)
            await lost.wait()
        finally:
            self._connection = None
            connection.terminate()

    def _drop(self) -> None:
        """A connection to a database that was away may never be heard of again."""
        if self._connection is not None:
            self._connection.terminate()

    def _hear(self, _connection: object, pid: int, _channel: str, payload: object) -> None:
        if pid == self._own_pid:
            return
        self.alone = False
        text = str(payload)
        if text == HERE:
            return
        self._heard(None if text == ANYTHING else frozenset(text.split(",")))

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            ids, self._pending = self._pending, set()
            connection = self._connection
            if connection is None or not ids:
                continue
            payload = ",".join(ids) if len(ids) <= MAX_NAMED else ANYTHING
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await reached("news.before_send")
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
