"""Event streams over two nodes: readers that are cut off and come back, nodes that stop, nothing left behind."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Self

import httpx
import psutil
import pytest

from app.protocol.roles import Role
from tests.api.caller import Caller, Callers, message
from tests.delivery.streams import Event, Reading, events_of, lines_of, read_all
from tests.support.service import Service
from tests.support.waiting import wait_until

Start = Callable[..., Service]

END = {"TaskCompleted", "TaskFailed"}
OWN_CONNECTIONS = 4
"""What the callers of a test keep open at one node, one each."""
POOL = 10
"""Connections to the database that a service may open when it has much to do, and keeps."""


@contextmanager
def callers_at(*services: Service, subjects: int = 1) -> Iterator[list[list[Caller]]]:
    """For each service the same subjects, each with a client of its own."""
    with ExitStack() as stack:
        made = [Callers(service) for service in services]
        for callers in made:
            stack.callback(callers.close)
        names = [f"reader-{number}" for number in range(subjects)]
        yield [[callers.make(Role.SUBMITTER, subject=name) for name in names] for callers in made]


@dataclass
class Reader:
    """Reads one task's stream to the end, now here, now there; `cuts` is how often it breaks off on the way."""

    task_id: str
    nodes: list[httpx.AsyncClient]
    chance: random.Random
    cuts: int
    seen: list[int] = field(default_factory=list)
    breaks: int = 0

    async def read(self) -> None:
        while not await self._connection(self.nodes[self.breaks % len(self.nodes)]):
            self.breaks += 1

    async def _connection(self, node: httpx.AsyncClient) -> bool:
        """One connection; True at the end of the task."""
        headers = {"Last-Event-ID": str(self.seen[-1])} if self.seen else {}
        stay = self.chance.randrange(1, 5) if self.breaks < self.cuts else None
        async with node.stream("GET", f"/v1/tasks/{self.task_id}/events", headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            count = 0
            async for event in events_of(response, Reading()):
                count += 1
                self.take(event)
                if event.name in END:
                    return True
                if count == stay:
                    return False
        raise AssertionError("the stream ended before its task")

    def take(self, event: Event) -> None:
        sequence = int(event.id)
        assert event.item["sequence"] == sequence
        assert sequence == (self.seen[-1] if self.seen else 0) + 1, f"{sequence} after {self.seen[-3:]}"
        self.seen.append(sequence)


def descriptors(service: Service) -> int:
    return int(psutil.Process(service.process_id).num_fds())


def connections(service: Service) -> int:
    """Connections of clients that the service holds open."""
    found = psutil.Process(service.process_id).net_connections("inet")
    return sum(each.laddr.port == service.port and each.status != psutil.CONN_LISTEN for each in found)


async def read_with_cuts(
    nodes: list[list[Caller]], streams: int, cut: int, breaks: int, seconds: float
) -> list[Reader]:
    """So many streams of tasks of so many seconds, of which `cut` break off and come back `breaks` times."""
    subjects = len(nodes[0])
    tasks = [
        nodes[0][number % subjects].submit(message("sleep", {"seconds": seconds})) for number in range(streams // 4)
    ]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with _Clients(nodes, limits) as clients:
        readers = []
        for number in range(streams):
            own = number % len(tasks)
            chance = random.Random(number)
            reader = Reader(tasks[own], clients.of(own % subjects), chance, cuts=breaks if number < cut else 0)
            readers.append(reader)
        await asyncio.gather(*(reader.read() for reader in readers))
    return readers


class _Clients:
    """An asynchronous client for each caller."""

    def __init__(self, nodes: list[list[Caller]], limits: httpx.Limits) -> None:
        self._clients = [
            [
                httpx.AsyncClient(
                    base_url=caller.http.base_url,
                    headers={"Authorization": f"Bearer {caller.token}"},
                    timeout=60,
                    limits=limits,
                )
                for caller in callers
            ]
            for callers in nodes
        ]

    def of(self, subject: int) -> list[httpx.AsyncClient]:
        """One subject's clients, a node each."""
        return [clients[subject] for clients in self._clients]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(client.aclose() for clients in self._clients for client in clients))


@pytest.mark.parametrize(
    ("streams", "cut", "breaks", "seconds"),
    [(40, 10, 3, 1.0), pytest.param(200, 50, 30, 20.0, marks=pytest.mark.chaos)],
)
async def test_streams_that_are_cut_and_resume_miss_nothing(
    start_service: Start, streams: int, cut: int, breaks: int, seconds: float
) -> None:
    services = [start_service(), start_service()]
    with callers_at(*services, subjects=4) as nodes:
        for callers in nodes:
            for caller in callers:
                assert caller.http.get("/v1/tasks").status_code == 200
        before = [descriptors(service) for service in services]
        readers = await read_with_cuts(nodes, streams, cut, breaks, seconds)
        assert sum(reader.breaks for reader in readers) == breaks * cut
        for number, reader in enumerate(readers):
            caller = nodes[1][number % (streams // 4) % 4]
            assert reader.seen == [item["sequence"] for item in caller.history(reader.task_id)][: len(reader.seen)]
            assert len(reader.seen) >= 8
        for service, base in zip(services, before, strict=True):
            wait_until(_back_to(service, base), "every connection of a stream is closed")


def _back_to(service: Service, descriptors_before: int) -> Callable[[], bool]:
    return lambda: connections(service) <= OWN_CONNECTIONS and descriptors(service) <= descriptors_before + POOL


def test_a_node_that_stops_sends_its_readers_elsewhere(start_service: Start) -> None:
    stopping, staying = start_service(drain_s="0.2"), start_service(drain_s="0.2")
    with callers_at(stopping, staying) as ((here,), (there,)):
        task_id = here.submit(message("sleep", {"seconds": 1.5}))
        first = Reading()
        with here.http.stream("GET", f"/v1/tasks/{task_id}/events") as response:
            for line in response.iter_lines():
                event = first.line(line)
                if event is not None and event.name == "ExecutionStarted":
                    os.kill(stopping.process_id, signal.SIGTERM)
        assert stopping.wait() == 0
        assert "shutting down" in first.comments[-1]
        assert "timeout graceful shutdown exceeded" not in stopping.log
        last = first.sequences[-1]
        rest = read_all(lines_of(there.get(task_id, "/events", Last_Event_ID=str(last)).text))
        assert first.sequences + rest.sequences == list(range(1, rest.sequences[-1] + 1))
        assert rest.events[-1].name == "TaskCompleted"


def test_a_stream_follows_a_task_that_runs_at_another_node(start_service: Start) -> None:
    with callers_at(start_service(), start_service()) as ((here,), (there,)):
        task_id = here.submit(message("sleep", {"seconds": 0.6}))
        reading = read_all(lines_of(there.get(task_id, "/events").text))
        assert [event.item for event in reading.events] == here.history(task_id)
        assert reading.events[-1].name == "TaskCompleted"


def test_a_subject_has_a_hundred_streams_and_no_more(start_service: Start) -> None:
    with callers_at(start_service(drain_s="0.2"), subjects=2) as ((alice, bob),), wide(alice) as alice.http:
        tasks = [alice.submit(message("sleep", {"seconds": 600})) for _ in range(21)]
        with ExitStack() as streams:
            for task_id in tasks[:20]:
                for _ in range(5):
                    response = streams.enter_context(alice.http.stream("GET", f"/v1/tasks/{task_id}/events"))
                    assert response.status_code == 200
            refused = alice.get(tasks[20], "/events")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            own = bob.submit(message())
            assert bob.get(own, "/events").status_code == 200
        wait_until(lambda: _opens(alice, tasks[20]), "a place is free again")


def wide(caller: Caller) -> httpx.Client:
    """The caller's client, with as many connections as it likes."""
    limits = httpx.Limits(max_connections=None)
    return httpx.Client(base_url=caller.http.base_url, headers=caller.http.headers, timeout=30, limits=limits)


def _opens(caller: Caller, task_id: str) -> bool:
    with caller.http.stream("GET", f"/v1/tasks/{task_id}/events") as response:
        return response.status_code == 200
