"""The service's RSA keys for encrypted messages: a directory with a file for each.

The newest key is published and encrypts. A key is retired when the next one is made: for `overlap_s` seconds more it
opens messages, so that who has read the old one meanwhile can still send; and what is at rest it opens for as long as
its file is there. Nothing but the names of the files says which is which, so that a copy of the directory, or a
directory that several services share, is a whole ring.

    encryption-20261126T041746123456Z.<kid>.pem     made at that time (UTC); the kid is the thumbprint (RFC 7638)
"""

import logging
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from app.security import key_files
from app.security.envelopes.compact import KEY_ALGORITHM
from app.security.errors import KeyConfigurationError
from app.security.rsa_keys import public_jwk, thumbprint

logger = logging.getLogger("app.security")

_NAME = re.compile(r"encryption-(\d{8}T\d{12}Z)\.([A-Za-z0-9_-]{43})\.pem", re.ASCII)
_TIME = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key of the ring. `retired_at` is when the next one was made; None for the current one."""

    kid: str
    created_at: datetime
    private: rsa.RSAPrivateKey
    retired_at: datetime | None = None

    @property
    def public(self) -> rsa.RSAPublicKey:
        """The half that encrypts."""
        return self.private.public_key()


class KeyRing:
    """See the module's docstring."""

    def __init__(self, directory: Path, overlap_s: float) -> None:
        self.directory = directory
        self.overlap = timedelta(seconds=overlap_s)
        self._names: list[str] = []
        self._keys: tuple[RingKey, ...] = ()
        self._complaint = ""

    def load(self) -> None:
        """Reads the keys and makes the first one where there is none. Raises KeyConfigurationError."""
        self.reread()
        if not self._keys:
            self.rotate(datetime.now(UTC))

    def reread(self) -> None:
        """Reads the directory again, where it is another one than before. Raises KeyConfigurationError."""
        try:
            names = sorted(path.name for path in self.directory.glob("encryption-*.pem"))
            if not names and self._keys:
                raise KeyConfigurationError(f"there is no encryption key in {self.directory} any more")
            if names != self._names:
                # A newer key of somebody else's would be taken for the current one.
                if self.directory.stat().st_mode & stat.S_IWOTH:
                    raise KeyConfigurationError(
                        f"anyone can write to {self.directory} and put a key there: run `chmod o-w {self.directory}`"
                    )
                self._keys = _in_order([_read(self.directory / name) for name in names])
                self._names = names
        except OSError as error:
            raise KeyConfigurationError(
                f"the encryption keys in {self.directory} cannot be read: {error.strerror}"
            ) from None

    def refresh(self) -> None:
        """As `reread`, for a service that runs: a directory that cannot be read leaves the keys as they were."""
        complaint = ""
        try:
            self.reread()
        except KeyConfigurationError as error:
            complaint = str(error)
        if complaint and complaint != self._complaint:
            logger.error("the encryption keys stay as they were: %s", complaint)
        self._complaint = complaint

    def rotate(self, now: datetime) -> RingKey:
        """Makes a new key and puts it in front; `now` in UTC. Raises KeyConfigurationError."""
        # Never before the current one, whatever the clock says: the newest name is the current key.
        if self._keys:
            now = max(now, self.current.created_at + timedelta(microseconds=1))
        private = key_files.new_key()
        path = self.directory / f"encryption-{now.strftime(_TIME)}.{thumbprint(private.public_key())}.pem"
        try:
            key_files.create(path, key_files.pem_of(private))
        except OSError as error:
            raise KeyConfigurationError(f"the encryption key {path} cannot be made: {error.strerror}") from None
        self.reread()
        return self.current

    @property
    def keys(self) -> Sequence[RingKey]:
        """All of them, the oldest first."""
        return self._keys

    @property
    def current(self) -> RingKey:
        """The one that encrypts."""
        return self._keys[-1]

    def find(self, kid: str) -> RingKey | None:
        """The key of this name, however old."""
        return next((key for key in self._keys if key.kid == kid), None)

    def opens(self, key: RingKey, now: datetime) -> bool:
        """Whether messages for the key are still taken at `now` (UTC)."""
        return key.retired_at is None or now < key.retired_at + self.overlap

    def published(self) -> list[dict[str, Any]]:
        """The keys to encrypt with, as JWKs: the current one."""
        return [public_jwk(self.current.public, "enc", KEY_ALGORITHM, self.current.kid)]


def _read(path: Path) -> RingKey:
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise KeyConfigurationError(f"{path} is not named as an encryption key is: put the file back, or take it away")
    private = key_files.read(path, "encryption key", "read encrypted tasks")
    if thumbprint(private.public_key()) != named[2]:
        raise KeyConfigurationError(f"the encryption key {path} holds another key than its name says")
    return RingKey(named[2], datetime.strptime(named[1], _TIME).replace(tzinfo=UTC), private)


def _in_order(keys: list[RingKey]) -> tuple[RingKey, ...]:
    """The keys with the times at which they were retired; their files come sorted by time."""
    following = [key.created_at for key in keys[1:]]
    retired = [
        RingKey(key.kid, key.created_at, key.private, at) for key, at in zip(keys, [*following, None], strict=False)
    ]
    return tuple(retired)
