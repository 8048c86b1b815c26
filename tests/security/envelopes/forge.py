"""Makes envelopes of any shape, good and bad, by cryptography alone."""

import json
import os
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.security import base64url
from tests.security.forge import RSA_KEY, b64

OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
HEADER: dict[str, Any] = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "ours"}
MESSAGE = b'{"type":"submit_task"}'


def envelope(
    plaintext: bytes = MESSAGE,
    *,
    header: object = None,
    key: rsa.RSAPrivateKey = RSA_KEY,
    encrypted_key: bytes | None = None,
    **members: object,
) -> str:
    """An envelope for `key`; `members` of its header are changed, `...` leaves one out."""
    known = {**HEADER, **members} if header is None else header
    if isinstance(known, dict):
        known = {name: value for name, value in known.items() if value is not ...}
    protected = b64(known if isinstance(known, bytes) else json.dumps(known).encode())
    content_key, iv = os.urandom(32), os.urandom(12)
    sealed = AESGCM(content_key).encrypt(iv, plaintext, protected.encode())
    wrapped = key.public_key().encrypt(content_key, OAEP) if encrypted_key is None else encrypted_key
    return ".".join([protected, *map(b64, (wrapped, iv, sealed[:-16], sealed[-16:]))])


def with_segment(position: int, segment: bytes | str, text: str | None = None) -> str:
    """An envelope with one of its five segments exchanged: bytes are encoded, text goes in as it is."""
    segments = (text or envelope()).split(".")
    segments[position] = segment if isinstance(segment, str) else b64(segment)
    return ".".join(segments)


def flipped(position: int, text: str) -> str:
    """The envelope with one bit of one segment flipped."""
    raw = bytearray(base64url.decode(text.split(".")[position].encode()))
    raw[len(raw) // 2] ^= 1
    return with_segment(position, bytes(raw), text)
