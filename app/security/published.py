"""The service's public keys as a JWK Set (RFC 7517): what messages to it are encrypted with, and what it signs by."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.security.envelopes.key_ring import KeyRing
from app.security.errors import KeyConfigurationError
from app.security.local_keys import LocalKeys
from app.security.own_key import FILE_NAME


class PublishedKeys:
    """The current encryption key, and the service's own signing keys where it has any (retired ones included).

    Signing keys that cannot be read leave the last good ones published: TokenKeys logs what is wrong.
    """

    def __init__(self, ring: KeyRing, data_dir: Path) -> None:
        self._ring = ring
        self._signing_key = data_dir / FILE_NAME
        self._local = LocalKeys(data_dir)
        self._signing_keys: list[dict[str, Any]] = []
        self._state: object = None
        self._document = b""

    def document(self) -> bytes:
        """The JWK Set as JSON; made anew when a key has changed."""
        state = (self._ring.current.kid, self._local.state())
        if state != self._state:
            with suppress(KeyConfigurationError):
                self._signing_keys = self._signing()
            keys = [*self._ring.published(), *self._signing_keys]
            self._document = json.dumps({"keys": keys}, separators=(",", ":")).encode()
            self._state = state
        return self._document

    def _signing(self) -> list[dict[str, Any]]:
        # A service with another issuer may have none, and must not make one for this.
        if not self._signing_key.exists():
            return []
        return [{**key.jose_key.to_dict(), "use": "sig", "kid": key.kid} for key in self._local.read()]
