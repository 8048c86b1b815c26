"""How a body may be sent, and how much of it is read."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.api.caller import PROBLEM, Caller, message
from tests.support.service import Service

LIMIT = 1_048_576


def padded(size: int) -> bytes:
    """A message of exactly so many bytes."""
    sent = json.dumps(message(parameters={"padding": ""}))
    return sent.replace('""', '"' + "x" * (size - len(sent)) + '"').encode()


def in_pieces(content: bytes) -> Iterator[bytes]:
    """Sent without a Content-Length."""
    for start in range(0, len(content), 65_536):
        yield content[start : start + 65_536]


def test_a_body_of_the_full_size_is_taken(alice: Caller) -> None:
    assert alice.post(padded(LIMIT)).status_code == 202


def test_a_body_one_byte_larger_is_not(alice: Caller) -> None:
    response = alice.post(padded(LIMIT + 1))
    assert response.status_code == 413
    assert response.headers["content-type"] == PROBLEM
    assert response.headers["connection"] == "close"
    assert str(LIMIT) in response.json()["detail"]


@pytest.mark.parametrize(("size", "expected"), [(LIMIT, 202), (LIMIT + 1, 413)])
def test_a_chunked_body_is_counted_as_it_comes(alice: Caller, size: int, expected: int) -> None:
    response = alice.http.post(
        "/v1/tasks", content=in_pieces(padded(size)), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == expected


def test_who_asks_before_sending_is_refused_and_not_invited(wire: Service, alice: Caller) -> None:
    head = f"POST /v1/tasks HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {alice.token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {LIMIT + 1}\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", wire.port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks/batch"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonl"},
        {"Content-Type": ""},
        {},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "identity"},
    ],
)
def test_another_media_type_or_encoding_is_refused(alice: Caller, path: str, headers: dict[str, str]) -> None:
    response = alice.http.post(path, content=json.dumps(message()).encode(), headers=headers)
    assert response.status_code == 415
    assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"])
def test_the_media_type_may_be_written_in_any_way(alice: Caller, kind: str) -> None:
    assert alice.post(json.dumps(message()).encode(), Content_Type=kind).status_code == 202
