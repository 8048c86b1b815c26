"""A TCP proxy in front of Postgres that loses what it is told to lose: connections, answers, or everything."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from sqlalchemy import make_url

from tests.support.listening import stop_listening


class Proxy:
    """Use as an async context manager; `url` leads to the same database by way of the proxy.

    `away` refuses connections. `black_hole` swallows what either side sends, and connections are made all the same:
    nobody is told that nothing arrives. `lose_next_answer` cuts the connection in place of the next answer: what was
    asked for has been carried out, and the client never learns it. `cut_after` cuts every connection when so many bytes
    more have passed, in either direction and on all of them together.
    """

    def __init__(self, database_url: str) -> None:
        self._target = make_url(database_url)
        self._server: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self._accepting: set[asyncio.Task[None]] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.away = False
        self.black_hole = False
        self.lose_next_answer = False
        self.answers_lost = 0
        self.cut_after: int | None = None

    @property
    def url(self) -> str:
        """Of the database, seen through the proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        through = self._target.set(host="127.0.0.1", port=port, query={})
        return through.render_as_string(hide_password=False)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await stop_listening(self._server)
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await self._server.wait_closed()

    def lead_to(self, database_url: str) -> None:
        """New connections go to this server from now on, under the name that the database has at the first."""
        self._target = make_url(database_url)

    def cut(self) -> None:
        """Cuts every connection, in the middle of whatever it is doing."""
        for stream in self._streams:
            stream.transport.abort()
        self._streams.clear()

    async def _send_and_cut(self, sink: asyncio.StreamWriter, data: bytes) -> None:
        sink.write(data)
        await sink.drain()
        self.cut()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepting = asyncio.create_task(self._accept(reader, writer))
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        self._streams |= {writer, server_writer}
        for source, sink, answers in ((reader, server_writer, False), (server_reader, writer, True)):
            pump = asyncio.create_task(self._pump(source, sink, answers))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = self._target.host or str(self._target.query["host"])
        port = self._target.port or int(str(self._target.query.get("port", 5432)))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if answers and self.lose_next_answer:
                    self.lose_next_answer = False
                    self.answers_lost += 1
                    self.cut()
                    return
                if self.black_hole:
                    continue
                if self.cut_after is not None:
                    data, left = data[: self.cut_after], self.cut_after - len(data)
                    self.cut_after = left if left > 0 else None
                    if left <= 0:
                        await self._send_and_cut(sink, data)
                        return
                sink.write(data)
                await sink.drain()
        sink.close()
