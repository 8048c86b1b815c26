"""Signatures after the Standard Webhooks specification: HMAC-SHA256 over id, time and body, one for each secret."""

import hmac
from base64 import b64encode
from collections.abc import Iterable


def headers_of(message_id: str, timestamp: int, body: bytes, keys: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """The three headers. `message_id` is the same for each attempt at a message, `timestamp` (seconds) is not."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [b"v1," + b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    return [
        (b"webhook-id", message_id.encode()),
        (b"webhook-timestamp", str(timestamp).encode()),
        (b"webhook-signature", b" ".join(signatures)),
    ]
