"""Readers of event streams that hardly read: they cost little, hold up nobody, are dropped, and may come back."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import psutil
import pytest

from app.protocol.roles import Role
from tests.api.caller import Caller, Callers, message
from tests.delivery.streams import lines_of, read_all
from tests.support.service import Service
from tests.support.waiting import wait_until

WORDS = "x" * 200_000
"""In the message and in the result of the task: a stream is far more than the sockets' buffers take."""

SMALL_BUFFER = 4096
ALLOWED_MB = 32.0
DROPPED_WITHIN_S = 90.0


@contextmanager
def slow_reader(service: Service, caller: Caller, task_id: str) -> Iterator[socket.socket]:
    """Opens a stream, takes the beginning of the answer, and then nothing more."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        line.connect(("127.0.0.1", service.port))
        head = [f"GET /v1/tasks/{task_id}/events HTTP/1.1", "Host: localhost", f"Authorization: Bearer {caller.token}"]
        line.sendall("\r\n".join([*head, "", ""]).encode())
        assert line.recv(12) == b"HTTP/1.1 200"
        yield line


def memory_mb(service: Service) -> float:
    return float(psutil.Process(service.process_id).memory_info().rss) / 2**20


def streams_open(service: Service) -> int:
    """Connections of clients that have not been closed by the service."""
    found = psutil.Process(service.process_id).net_connections("inet")
    return sum(each.laddr.port == service.port and each.status == psutil.CONN_ESTABLISHED for each in found)


@pytest.mark.parametrize(
    ("readers", "until_dropped"),
    [(10, False), pytest.param(100, True, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])],
)
def test_slow_readers_cost_little_and_hold_up_nobody(
    start_service: Callable[..., Service], readers: int, until_dropped: bool
) -> None:
    service = start_service(rate_limit="off", drain_s="0.2")
    with closing(Callers(service)) as callers, ExitStack() as stack:
        alice, bob = callers.make(Role.SUBMITTER), callers.make(Role.SUBMITTER)
        tasks = [alice.submit(message("echo", {"words": WORDS})) for _ in range(readers // 5)]
        for task_id in tasks:
            alice.finished(task_id)
        own = bob.submit(message("echo", {"words": WORDS}))
        bob.finished(own)
        bob.get(own, "/events")
        others, before = streams_open(service), memory_mb(service)
        for number in range(readers):
            stack.enter_context(slow_reader(service, alice, tasks[number % len(tasks)]))
        seen = read_all(lines_of(bob.get(own, "/events").text))
        assert seen.events[-1].name == "TaskCompleted"
        assert memory_mb(service) <= before + ALLOWED_MB
        if until_dropped:
            wait_until(lambda: streams_open(service) <= others, "the slow readers are dropped", DROPPED_WITHIN_S)
            again = read_all(lines_of(alice.get(tasks[0], "/events").text))
            assert again.sequences == list(range(1, len(again.events) + 1))
            print(f"{readers} slow readers took {memory_mb(service) - before:.0f} MB")  # noqa: T201 - the report
