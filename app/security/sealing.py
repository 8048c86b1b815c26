"""Secrets of others at rest: sealed with a key that is not in the database (AES-256-GCM).

The first of a sealer's keys seals; all of them open, so that a new key is put before the others and those stay for as
long as something is sealed with them. Where the keys are is another matter: sealing_keys.py.
"""

import hmac
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ID_BYTES = 8
"""What is sealed begins with so many bytes that name its key."""

_NONCE_BYTES = 12


class CannotOpen(Exception):
    """Sealed with a key that is not here, for another purpose, or altered."""


class _Keys(NamedTuple):
    first: bytes
    ciphers: dict[bytes, AESGCM]
    fingerprints: bytes


class Sealer:
    """Seals and opens short secrets. `purpose` binds what is sealed to its place: elsewhere it does not open.

    `look` is asked once where a key is missing: it answers True where it has given other keys (`use`).
    """

    def __init__(self, keys: Sequence[bytes], look: Callable[[], bool] | None = None) -> None:
        self._look = look
        self.use(keys)

    def use(self, keys: Sequence[bytes]) -> None:
        """From now on these keys."""
        # The oldest key makes fingerprints: they should outlive a new key before the others. All in one assignment,
        # so that another thread finds the old ones or the new ones.
        self._keys = _Keys(
            _id_of(keys[0]),
            {_id_of(key): AESGCM(key) for key in keys},
            hmac.digest(keys[-1], b"fingerprints", "sha256"),
        )

    @property
    def key_id(self) -> bytes:
        """What all begins with that is sealed now."""
        return self._keys.first

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Key id, nonce, ciphertext and tag."""
        nonce, keys = os.urandom(_NONCE_BYTES), self._keys
        return keys.first + nonce + keys.ciphers[keys.first].encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """The secret. Raises CannotOpen."""
        cipher = self._cipher(sealed[:ID_BYTES])
        nonce = sealed[ID_BYTES : ID_BYTES + _NONCE_BYTES]
        if cipher is None:
            raise CannotOpen("sealed with a key that this service does not have")
        try:
            return cipher.decrypt(nonce, sealed[ID_BYTES + _NONCE_BYTES :], purpose.encode())
        except (InvalidTag, ValueError):
            raise CannotOpen("altered, or sealed for another purpose") from None

    def fingerprint(self, secret: str) -> str:
        """Tells secrets apart without a way back: who has the database but not the key cannot try guesses."""
        return hmac.new(self._keys.fingerprints, secret.encode(), sha256).hexdigest()

    def _cipher(self, key_id: bytes) -> AESGCM | None:
        cipher = self._keys.ciphers.get(key_id)
        if cipher is None and self._look is not None and self._look():
            cipher = self._keys.ciphers.get(key_id)
        return cipher


def _id_of(key: bytes) -> bytes:
    return sha256(b"sealing key" + key).digest()[:ID_BYTES]
