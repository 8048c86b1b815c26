"""Answers that are held back: so many for one caller, and none for one that has gone."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from app.protocol.roles import Role
from tests.api.caller import Caller, Callers, sleeping
from tests.api.conftest import MAX_WAITS
from tests.support.service import Service
from tests.support.waiting import wait_until


@pytest.fixture
def connections() -> Iterator[ExitStack]:
    """What a test keeps open, closed at the latest at its end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def hold(wire: Service, connections: ExitStack) -> Callable[..., None]:
    """Sends a request whose answer nobody reads, over a connection of its own."""

    def send(caller: Caller, first: str, body: bytes = b"") -> None:
        connection = connections.enter_context(socket.create_connection(("127.0.0.1", wire.port), timeout=10))
        head = f"{first} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {caller.token}\r\nPrefer: wait=60\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    return send


@pytest.fixture
def waiting(licence_holder: str, alice: Caller) -> Iterator[str]:
    """A task of alice's that waits for the licence until the end of the test."""
    assert licence_holder
    task_id = alice.submit(sleeping())
    yield task_id
    alice.cancel(task_id)


def test_a_caller_has_so_many_answers_held_back_and_no_more(
    waiting: str, alice: Caller, bob: Caller, connections: ExitStack, hold: Callable[..., None]
) -> None:
    refused = refusal(lambda: hold(alice, f"GET /v1/tasks/{waiting}"), lambda: alice.get(waiting, Prefer="wait=1"))
    assert refused.json()["type"] == "urn:task-executor:problem:too-many-waits"
    assert refused.headers["retry-after"] == "1"
    assert alice.get(waiting).status_code == 200, "without waiting"
    assert alice.get(waiting, Prefer="wait=0").status_code == 200
    others = bob.submit(sleeping())
    assert bob.get(others, Prefer="wait=1").status_code == 200
    bob.cancel(others)
    connections.close()
    wait_until(lambda: alice.get(waiting, Prefer="wait=1").status_code == 200, "places of those who have gone are free")


def test_claims_that_wait_count_as_well(callers: Callers, connections: ExitStack, hold: Callable[..., None]) -> None:
    executor = callers.make(Role.EXECUTOR)
    body = json.dumps({"wait_s": 60}).encode()

    def claim(wait_s: float) -> httpx.Response:
        return executor.http.post("/v1/executions/claim", json={"wait_s": wait_s})

    refused = refusal(lambda: hold(executor, "POST /v1/executions/claim", body), lambda: claim(1))
    assert refused.json()["type"] == "urn:task-executor:problem:too-many-waits"
    assert claim(0).status_code == 200
    connections.close()
    wait_until(lambda: claim(1).status_code == 200, "places of those who have gone are free")


def refusal(hold_one: Callable[[], None], ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The 429 that is answered when all places are taken, some by those whose answers nobody reads."""
    for _ in range(MAX_WAITS - 1):
        hold_one()

    def one_more() -> httpx.Response | None:
        # What was asked before may have taken the place of one of those.
        hold_one()
        response = ask()
        return response if response.status_code == httpx.codes.TOO_MANY_REQUESTS else None

    found = wait_until(one_more, "a refusal")
    assert found is not None
    return found
