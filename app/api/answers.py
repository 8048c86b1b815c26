"""Answers made of JSON that is there already: bytes out, no second serialization."""

import json
import zlib
from collections.abc import Sequence

from starlette.responses import Response

from app.protocol.history import Item
from app.protocol.task import Task
from app.protocol.times import format_time

Header = tuple[bytes, bytes]

_JSON: Header = (b"content-type", b"application/json")
_NO_STORE: Header = (b"cache-control", b"no-store")
_NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
RETRY_AFTER: Header = (b"retry-after", b"1")
REPLAYED: Header = (b"idempotent-replayed", b"true")


class JsonAnswer(Response):
    """A JSON body with its headers as raw pairs. Starlette's own constructor costs three times as much.

    `added` are the headers that not every such answer has.
    """

    def __init__(self, status: int, body: bytes, headers: Sequence[Header] = (), kind: Header = _JSON) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.added = headers
        self.raw_headers = [
            kind,
            (b"content-length", str(len(body)).encode()),
            _NO_STORE,
            _NOSNIFF,
            *headers,
        ]


class NotModified(Response):
    """304 without a body, with the headers that the 200 would have had (RFC 9110, section 15.4.5).

    `added` as in JsonAnswer.
    """

    def __init__(self, headers: Sequence[Header]) -> None:
        self.status_code = 304
        self.body = b""
        self.background = None
        self.added = headers
        self.raw_headers = [_NO_STORE, _NOSNIFF, *headers]


def location(task_id: str) -> Header:
    """Where a task's status is."""
    return (b"location", f"/v1/tasks/{task_id}".encode())


def etag_of(task: Task, waiting_json: str | None) -> str:
    """A strong validator: it changes with the task, and with what is said about why it waits."""
    if waiting_json is None:
        return f'"{task.version}"'
    return f'"{task.version}-{zlib.crc32(waiting_json.encode()):x}"'


def item_json(item: Item) -> str:
    """A history item as the wire shows it; the message is its exact text, or null where it was erased."""
    erased = ""
    if item.erased_at is not None:
        erased = f',"message_digest":"{item.message_digest}","erased_at":"{format_time(item.erased_at)}"'
    return (
        f'{{"sequence":{item.sequence},"name":"{item.name}","sender":"{item.sender}","recipient":"{item.recipient}",'
        f'"recorded_at":"{format_time(item.recorded_at)}","status":"{item.status}","message":{item.message},'
        f'"previous_hash":"{item.previous_hash}","hash":"{item.hash}"{erased}}}'
    )


def page_json(items: Sequence[str], next_cursor: str | None) -> bytes:
    """A list as the wire shows every list."""
    return f'{{"items":[{",".join(items)}],"next_cursor":{json.dumps(next_cursor)}}}'.encode()
