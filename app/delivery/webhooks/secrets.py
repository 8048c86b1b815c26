"""The secrets that webhooks are signed with: a callback's own, or its submitter's.

A submitter has one secret, made when it asks for one or when the first webhook has to be signed. It is shown once. A
new one takes its place at once, and the old one goes on signing beside it for a while, so that receivers can change
over in their own time. All are stored sealed (app/security/sealing.py).
"""

import logging
import os
import time
from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

from app.protocol.callbacks import sealing_purpose, secret_of
from app.security.sealing import CannotOpen, Sealer
from app.storage.deliveries import Claimed
from app.storage.webhook_secrets import SecretRow, WebhookSecrets

logger = logging.getLogger("app.delivery")

KEY_BYTES = 32
REMEMBERED_S = 5.0
"""For how long a submitter's secrets are taken as last read: a revocation is in force after that."""
MAX_REMEMBERED = 1000


class NewSecret(NamedTuple):
    """A secret that its owner is shown, this once."""

    secret_id: str
    secret: str
    created_at: datetime


class SigningSecrets:
    """See the module's docstring."""

    def __init__(self, stored: WebhookSecrets, sealer: Sealer) -> None:
        self._stored = stored
        self._sealer = sealer
        self._remembered: OrderedDict[str, tuple[float, list[bytes]]] = OrderedDict()

    async def keys_for(self, claimed: Claimed) -> list[bytes]:
        """The keys to sign with, the newest first. Raises CannotOpen, StorageUnavailable."""
        if claimed.sealed_secret is not None:
            return [self._sealer.open(claimed.sealed_secret, sealing_purpose(claimed.submitter))]
        read_at, keys = self._remembered.get(claimed.submitter, (0.0, []))
        if not keys or time.monotonic() - read_at > REMEMBERED_S:
            keys = await self._read(claimed.submitter)
            self._remember(claimed.submitter, keys)
        return keys

    async def create(self, submitter: str, overlap_s: float) -> NewSecret:
        """A secret that nobody has been shown: the one that the service has made, or a new one in place of the old.

        The old one is valid for `overlap_s` more seconds. One that does not open, because its sealing key is lost, is
        replaced as if it had been shown. Raises StorageUnavailable.
        """
        try:
            row = await self._stored.show_first(submitter)
            key = None if row is None else self._open(submitter, row)
        except CannotOpen:
            logger.warning("a webhook secret does not open and is replaced", extra={"subject": submitter})
            key = None
        if row is None or key is None:
            key = os.urandom(KEY_BYTES)
            row = await self._stored.replace(submitter, str(uuid4()), self._seal(submitter, key), overlap_s)
        self._remembered.pop(submitter, None)
        return NewSecret(row.secret_id, secret_of(key), row.created_at)

    async def revoke(self, submitter: str, secret_id: str) -> bool:
        """The secret signs no more, from now on here and within seconds everywhere; False where there is none."""
        self._remembered.pop(submitter, None)
        return await self._stored.remove(submitter, secret_id)

    async def all_of(self, submitter: str) -> list[SecretRow]:
        """The submitter's valid secrets, without what is secret, the newest first."""
        return await self._stored.valid(submitter)

    async def _read(self, submitter: str) -> list[bytes]:
        rows = await self._stored.valid(submitter)
        if not any(row.expires_at is None for row in rows):
            await self._stored.add_first(submitter, str(uuid4()), self._seal(submitter, os.urandom(KEY_BYTES)))
            rows = await self._stored.valid(submitter)
        return self._opened(submitter, rows)

    def _opened(self, submitter: str, rows: list[SecretRow]) -> list[bytes]:
        """Those that open: one whose sealing key is lost does not keep the one after it from signing."""
        keys, missing = [], None
        for row in rows:
            try:
                keys.append(self._open(submitter, row))
            except CannotOpen as error:
                missing = error
        if missing is not None and not keys:
            raise missing
        return keys

    def _remember(self, submitter: str, keys: list[bytes]) -> None:
        self._remembered[submitter] = time.monotonic(), keys
        self._remembered.move_to_end(submitter)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _seal(self, submitter: str, key: bytes) -> bytes:
        return self._sealer.seal(key, submitter)

    def _open(self, submitter: str, row: SecretRow) -> bytes:
        return self._sealer.open(row.sealed, submitter)
