"""Whether the database answers: slow is not away, away is told at once, and its return is noticed."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from app.storage.availability import Availability
from app.storage.database import Database
from app.storage.errors import StorageUnavailable
from app.storage.lines import Want, line_of
from app.storage.queries import Queries, StatusReader
from tests.faults.proxy import Proxy
from tests.storage.stored import accepted_task, open_store
from tests.support.waiting import eventually


class Server:
    """Answers the small question, or is silent, or refuses it."""

    def __init__(self) -> None:
        self.silent = False
        self.refusing = False
        self.asked = 0

    async def ask(self) -> None:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.refusing:
            raise ConnectionRefusedError

    async def never(self) -> None:
        raise ConnectionResetError


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def availability(server: Server) -> AsyncIterator[Availability]:
    made = Availability(server.never, server.ask)
    yield made
    await made.close()


async def is_away(availability: Availability) -> bool:
    return availability.away


async def is_back(availability: Availability) -> bool:
    return not availability.away


async def test_what_is_on_time_asks_nothing(server: Server, availability: Availability) -> None:
    for _ in range(100):
        with availability.operation():
            availability.check()
    assert server.asked == 0


async def test_slow_is_not_away(server: Server, availability: Availability) -> None:
    aborted: list[bool] = []

    async def asked_twice() -> bool:
        return server.asked >= 2

    with availability.operation(lambda: aborted.append(True)):
        await eventually(asked_twice, "asked while it waits")
        availability.check()
    assert aborted == []


async def test_what_waits_is_dropped_and_what_comes_refused(server: Server, availability: Availability) -> None:
    server.silent = True
    dropped, told = asyncio.Event(), asyncio.Event()
    availability.on_away(told.set)
    with availability.operation(dropped.set):
        await dropped.wait()
    assert told.is_set()
    with pytest.raises(StorageUnavailable):
        availability.check()
    server.silent = False
    await eventually(lambda: is_back(availability), "its return")
    availability.check()


async def test_another_answer_is_an_answer(server: Server, availability: Availability) -> None:
    """A server that opens no more connections, and serves those that it has."""
    server.silent = True

    async def asked() -> bool:
        with availability.operation():
            return server.asked > 0

    aborted: list[bool] = []
    with availability.operation(lambda: aborted.append(True)):
        await eventually(asked, "asked")
        for _ in range(50):
            with availability.operation():
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.02)
    assert not availability.away
    assert aborted == []


async def test_a_lost_connection_makes_it_ask_at_once(server: Server, availability: Availability) -> None:
    server.refusing = True
    with pytest.raises(ConnectionResetError), availability.operation():
        raise ConnectionResetError
    await eventually(lambda: is_away(availability), "known to be away")
    server.refusing = False
    await eventually(lambda: is_back(availability), "its return")


async def test_an_error_of_the_statement_says_nothing_about_the_database(
    server: Server, availability: Availability
) -> None:
    with pytest.raises(ValueError, match="wrong"), availability.operation():
        raise ValueError("wrong")
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.01)
    assert server.asked == 0


async def test_a_black_hole_between_here_and_the_database(database_url: str) -> None:
    """Everything that waits on it ends with an error, and everything works again when it is gone."""
    async with Proxy(database_url) as proxy, open_store(proxy.url, sql_url=database_url) as store:
        task, read = accepted_task(), StatusReader(store.database).get
        await store.put(task)
        await read(task.task_id)
        proxy.black_hole = True
        waiting = [
            asyncio.create_task(store.put(accepted_task())),
            asyncio.create_task(read(task.task_id)),
            asyncio.create_task(store.leases.claim([Want(line_of(task), 1)])),
            asyncio.create_task(_ask(store.database)),
        ]
        async with asyncio.timeout(20):
            errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in errors] == [StorageUnavailable] * len(waiting)
        with pytest.raises(StorageUnavailable):
            store.database.availability.check()
        proxy.black_hole = False
        await eventually(lambda: is_back(store.database.availability), "its return")
        assert await read(task.task_id) is not None
        await store.put(accepted_task())
        await _ask(store.database)


async def _ask(database: Database) -> None:
    await Queries(database).find_submission("alice", "none")


async def test_connections_that_died_in_the_pool_are_replaced_before_they_are_used(database_url: str) -> None:
    async with Proxy(database_url) as proxy, open_store(proxy.url, sql_url=database_url) as store:
        await asyncio.gather(*(_ask(store.database) for _ in range(5)))
        proxy.cut()
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.1)
        await asyncio.gather(*(_ask(store.database) for _ in range(5)))


async def test_a_question_that_is_dropped_leaves_no_complaint_behind() -> None:
    """At whatever moment: asyncpg's future for the answer to its wish for TLS was left failed, with nobody to look."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))

    async def without_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            if await reader.read(8):
                writer.write(b"N")
                await reader.read(8)
        writer.close()

    server = await asyncio.start_server(without_tls, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = Database(f"postgresql://nobody:x@127.0.0.1:{port}/none")
    for turns in range(40):
        asking = asyncio.create_task(database._ask_over_new())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    await database.close()
    server.close()
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
