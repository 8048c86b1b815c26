"""The requests, made of parts that are built once: only the message_id differs between two submissions."""

import itertools
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

from app.protocol.times import format_time

ECHOED = {"greeting": "hello", "numbers": [1, 2, 3], "ratio": 0.5}
_PLACE = "00000000-000000000"


GATE: dict[str, object] = {"custom": {"gate": 1}}
"""A unit of which the service has one: while it is taken, tasks that ask for it are stored and wait."""


def submissions(path: str, token: str, resources: dict[str, object] | None = None) -> Iterator[bytes]:
    """POSTs of the protocol's submit_task message for an `echo` task, each with a message_id of its own."""
    body = json.dumps(message(_PLACE, resources))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    before, after = (head + body).split(_PLACE)
    first, last, run = before.encode(), after.encode(), secrets.token_hex(4)
    for number in itertools.count():
        yield b"%b%s-%09d%b" % (first, run.encode(), number, last)


def message(message_id: str, resources: dict[str, object] | None = None) -> dict[str, object]:
    """One submit_task message."""
    specification: dict[str, object] = {"type": "echo", "parameters": ECHOED}
    if resources is not None:
        specification["resources"] = resources
    return {
        "type": "submit_task",
        "header": {"message_id": message_id, "timestamp": format_time(datetime.now(UTC))},
        "body": {"task_specification": specification, "priority": 1},
    }


def gatekeeper() -> dict[str, object]:
    """A task that takes the gate and keeps it for an hour."""
    keeper = message("gatekeeper")
    specification = {"type": "sleep", "parameters": {"seconds": 3600}, "resources": GATE}
    keeper["body"] = {"task_specification": specification, "priority": 0}
    return keeper


class StatusRequests:
    """GETs of a task's status, with or without `Prefer: wait`."""

    def __init__(self, token: str, wait_s: int | None = None) -> None:
        prefer = "" if wait_s is None else f"Prefer: wait={wait_s}\r\n"
        self._after = f" HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n{prefer}\r\n".encode()

    def of(self, location: bytes) -> bytes:
        """The request for the task at this path."""
        return b"GET %b%b" % (location, self._after)


def location_of(head: bytes) -> bytes:
    """The path in the Location header of an answer."""
    at = head.index(b"location: ") + len(b"location: ")
    end = head.find(b"\r", at)
    return head[at : end if end >= 0 else None]
