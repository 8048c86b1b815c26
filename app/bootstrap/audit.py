"""The audit of a service: signed heads of the audit trail, made at intervals by one node for all."""

import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from app.execution.periodic import Periodic
from app.protocol.audit_heads import Head, Listing
from app.protocol.history import GENESIS
from app.security.errors import KeyConfigurationError
from app.security.head_signing import NotAHead, head_keys, read_head, sign_head
from app.settings import StorageSettings
from app.storage.database import Database
from app.storage.head_files import HeadFiles, Unwritable
from app.storage.trail import Trail

logger = logging.getLogger("app.bootstrap")

OVERLAP = timedelta(minutes=1)
"""A head looks so far back behind the one before it: a message is written, by its statement's time, some seconds before
others see it, five at most (STATEMENT_TIMEOUT_S). Named twice is harmless; left out is not."""


class AuditHeads:
    """See the module's docstring. Whatever keeps a head from being made, the next one covers what it would have."""

    def __init__(self, settings: StorageSettings, database: Database) -> None:
        self._interval_s = settings.audit_head_s
        self._data_dir = settings.data_dir
        self._trail = Trail(database)
        self._files = HeadFiles(audit_dir(settings))
        self._last: bytes | None = None

    def periodics(self) -> list[Periodic]:
        """What has to be repeated."""
        return [Periodic("heads of the audit trail", self._interval_s, self.make)] if self._interval_s else []

    def close_with(self, stack: AsyncExitStack) -> None:
        """Registers the end of the connection."""
        stack.push_async_callback(self._trail.close)

    async def make(self) -> None:
        """Makes the next head, where this node is the one that does. Raises StorageUnavailable."""
        held = self._trail.leading
        if not await self._trail.lead():
            return
        try:
            if not held:
                # Another node may have written meanwhile, where they share the directory.
                self._last = await self._files.last()
            await self._append()
        except (Unwritable, KeyConfigurationError) as error:
            logger.warning("no head of the audit trail was made, the next one will cover more: %s", error)

    async def _append(self) -> None:
        former = self._former()
        async with self._trail.snapshot() as snapshot:
            since = None if former is None else min(former.until, snapshot.now) - OVERLAP
            head = Head(
                1 if former is None else former.number + 1,
                GENESIS if self._last is None or former is None else sha256(self._last).hexdigest(),
                since,
                snapshot.now,
                0,
                "",
            )

            def sign(listing: Listing) -> bytes:
                return sign_head(self._data_dir, replace(head, tasks=listing.tasks, digest=listing.digest()))

            self._last = await self._files.append(snapshot.now, snapshot.grown(since), sign)

    def _former(self) -> Head | None:
        """The head before, or None where there is none that this service has signed: then a new chain begins."""
        if self._last is None:
            return None
        try:
            return read_head(self._last, head_keys(self._data_dir))
        except (NotAHead, KeyConfigurationError) as error:
            logger.warning("a new chain begins in %s, whose last head is not ours: %s", self._files.directory, error)
            return None


def audit_dir(settings: StorageSettings) -> Path:
    """Where the heads are."""
    return settings.audit_dir or settings.data_dir / "audit"
