"""The loads: as many submissions as 64 connections can, clients that wait for their tasks, and a trickle."""

import asyncio
from collections.abc import Iterator
from time import perf_counter

from tests.benchmarks.figures import Figures, latencies
from tests.benchmarks.http_client import Answer, Connection, Unexpected, connect
from tests.benchmarks.requests import StatusRequests, location_of

ACCEPTED, OK = 202, 200
POLL_S = 0.01
WAIT_S = 10
TRICKLE_CONNECTIONS = 16
COMPLETED, FAILED = b'"status":"Completed"', b'"status":"Failed"'


class Flood:
    """`count` submissions over all connections at once, each connection sending its next as soon as it is answered.

    No coroutine and no future for a request: the client must cost less than what it measures.
    """

    def __init__(self, connections: list[Connection], submissions: Iterator[bytes], count: int) -> None:
        self._connections = connections
        self._submissions = submissions
        self._unsent = self._unanswered = count
        self._times: list[float] = []
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> list[float]:
        """The time of each request, in seconds. Raises Unexpected for any other answer than 202."""
        for connection in self._connections:
            self._send(connection)
        await self._over
        return self._times

    def _send(self, connection: Connection) -> None:
        if not self._unsent:
            return
        self._unsent -= 1
        sent = perf_counter()

        def answered(answer: Answer) -> None:
            self._times.append(perf_counter() - sent)
            if answer.status != ACCEPTED:
                self._fail(Unexpected(f"answered {answer.status}: {answer.body[:300]!r}"))
                return
            self._unanswered -= 1
            if not self._unanswered and not self._over.done():
                self._over.set_result(None)
            self._send(connection)

        connection.send(next(self._submissions), answered, self._fail)

    def _fail(self, error: Exception) -> None:
        self._unsent = 0
        if not self._over.done():
            self._over.set_exception(error)


async def flood(port: int, submissions: Iterator[bytes], connections: int, count: int) -> Figures:
    """Requests a second, and how long each took."""
    opened = await connect(port, connections)
    begin = perf_counter()
    times = await Flood(opened, submissions, count).run()
    elapsed_s = perf_counter() - begin
    for connection in opened:
        connection.close()
    return {"per_s": round(count / elapsed_s), **latencies(times, "request")}


class Journeys:
    """Tasks submitted over HTTP and followed over HTTP until they are completed."""

    def __init__(self, submissions: Iterator[bytes], token: str, *, held: bool) -> None:
        self._submissions = submissions
        self._status = StatusRequests(token, WAIT_S if held else None)
        self._pause_s = 0.0 if held else POLL_S
        self._submitted: list[float] = []
        self._completed: list[float] = []

    async def one(self, connection: Connection) -> None:
        """One task, from its submission to the answer that says Completed."""
        begin = perf_counter()
        answer = await connection.request(next(self._submissions))
        self._submitted.append(perf_counter() - begin)
        if answer.status != ACCEPTED:
            raise Unexpected(f"answered {answer.status}: {answer.body[:300]!r}")
        request = self._status.of(location_of(answer.head))
        while COMPLETED not in answer.body:
            if self._pause_s:
                await pause(self._pause_s)
            answer = await connection.request(request)
            if answer.status != OK or FAILED in answer.body:
                raise Unexpected(f"answered {answer.status}: {answer.body[:300]!r}")
        self._completed.append(perf_counter() - begin)

    def figures(self, elapsed_s: float) -> Figures:
        """Tasks a second, the time of a submission, and the time until the client knew that it was completed."""
        return {
            "tasks": len(self._completed),
            "per_s": round(len(self._completed) / elapsed_s),
            **latencies(self._submitted, "request"),
            **latencies(self._completed, "end_to_end"),
        }


async def to_completion(journeys: Journeys, port: int, clients: int, seconds: float) -> Figures:
    """`clients` at once, each of which submits its next task when it has seen the last one completed."""
    opened = await connect(port, clients)
    begin = perf_counter()

    async def client(connection: Connection) -> None:
        while perf_counter() - begin < seconds:
            await journeys.one(connection)

    await asyncio.gather(*map(client, opened))
    elapsed_s = perf_counter() - begin
    for connection in opened:
        connection.close()
    return journeys.figures(elapsed_s)


async def trickle(journeys: Journeys, port: int, per_s: float, seconds: float) -> Figures:
    """Tasks at a steady pace, whether the earlier ones are over or not."""
    opened = await connect(port, TRICKLE_CONNECTIONS)
    begin = perf_counter()
    under_way = []
    for number in range(int(per_s * seconds)):
        await pause(max(0.0, begin + number / per_s - perf_counter()))
        under_way.append(asyncio.create_task(journeys.one(opened[number % len(opened)])))
    await asyncio.gather(*under_way)
    elapsed_s = perf_counter() - begin
    for connection in opened:
        connection.close()
    return journeys.figures(elapsed_s)


async def pause(seconds: float) -> None:
    """What a polling client does between two polls."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(seconds, over.set_result, None)
    await over
