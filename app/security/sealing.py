"""Secrets of others at rest: sealed with a key that is not in the database (AES-256-GCM).

The keys are lines of a file, each the base64 of 32 bytes. The first one seals; all of them open, so that a new key is
put on top and the old ones stay for as long as something is sealed with them. Replicas need the same file.
"""

import hmac
import os
import stat
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.security.errors import KeyConfigurationError

FILE_NAME = "sealing-keys"
KEY_BYTES = 32
_ID_BYTES, _NONCE_BYTES = 8, 12
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class CannotOpen(Exception):
    """Sealed with a key that is not here, for another purpose, or altered."""


class Sealer:
    """Seals and opens short secrets. `purpose` binds what is sealed to its place: elsewhere it does not open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._first = _id_of(keys[0])
        self._ciphers = {_id_of(key): AESGCM(key) for key in keys}
        # The oldest key: a fingerprint should outlive a new key on top.
        self._fingerprints = hmac.digest(keys[-1], b"fingerprints", "sha256")

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Key id, nonce, ciphertext and tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._first + nonce + self._ciphers[self._first].encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """The secret. Raises CannotOpen."""
        cipher = self._ciphers.get(sealed[:_ID_BYTES])
        nonce = sealed[_ID_BYTES : _ID_BYTES + _NONCE_BYTES]
        if cipher is None:
            raise CannotOpen("sealed with a key that this service does not have")
        try:
            return cipher.decrypt(nonce, sealed[_ID_BYTES + _NONCE_BYTES :], purpose.encode())
        except (InvalidTag, ValueError):
            raise CannotOpen("altered, or sealed for another purpose") from None

    def fingerprint(self, secret: str) -> str:
        """Tells secrets apart without a way back: who has the database but not the key cannot try guesses."""
        return hmac.new(self._fingerprints, secret.encode(), sha256).hexdigest()


def sealer_from(path: Path) -> Sealer:
    """The keys in a file; made with one new key where there is none.

    Raises KeyConfigurationError where others can read it or it holds no keys.
    """
    try:
        if not path.exists():
            _create(path)
        return Sealer(_keys(path))
    except OSError as error:
        raise KeyConfigurationError(f"the sealing keys {path} cannot be read or made: {error.strerror}") from None


def _keys(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & _OTHERS:
            raise KeyConfigurationError(
                f"the sealing keys {path} have mode {mode:04o}, so that others could open what is sealed: "
                f"run `chmod 600 {path}`"
            )
        lines = file.read().split()
    try:
        keys = [b64decode(line, validate=True) for line in lines]
    except ValueError:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise KeyConfigurationError(f"the file {path} must hold sealing keys, a line each: `openssl rand -base64 32`")
    return keys


def _create(path: Path) -> None:
    """Whole or not at all, and never over another's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".sealing-keys-", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass  # Another process was first; its key is the one.
    finally:
        Path(temporary).unlink()


def _id_of(key: bytes) -> bytes:
    return sha256(b"sealing key" + key).digest()[:_ID_BYTES]
