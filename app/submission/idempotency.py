"""Which submissions are the same: by key, and by content.

The key is the message_id, or the Idempotency-Key header where one is sent; it is unique per submitter among
accepted tasks. The content is the message's body: the header's time changes when a client builds its message
anew to repeat it, and that must still be the same submission.
"""

import json
from hashlib import sha256
from typing import Any

import orjson


class KeyReused(Exception):
    """The key belongs to another task of the same submitter, with other content."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {task_id} was submitted with this key and other content")
        self.task_id = task_id


def content_digest(body: Any) -> bytes:
    """SHA-256 of a body's canonical text."""
    return sha256(canonical(body)).digest()


def canonical(body: Any) -> bytes:
    """A body's text with its members in order, so that white space and order do not matter."""
    try:
        return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Integers beyond 64 bits, which orjson does not write.
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
