"""The security of a service: who may call, and what opens what comes encrypted."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from app.execution.periodic import Periodic
from app.security.claims import ClaimRules
from app.security.envelopes.contents import Contents
from app.security.envelopes.key_ring import KeyRing
from app.security.envelopes.opener import Opener
from app.security.keys import KeySet
from app.security.local_keys import LocalKeys
from app.security.published import PublishedKeys
from app.security.revoked import Revoked, RevokedTokens
from app.security.sealing_keys import FILE_NAME as SEALING_KEYS
from app.security.sealing_keys import SealingKeys
from app.security.token_keys import LOOK_S, TokenKeys
from app.security.tokens import DEFAULT_LEEWAY_S, TokenVerifier
from app.settings import Settings
from app.storage.database import Database
from app.storage.revocations import Revocation, Revocations

if TYPE_CHECKING:
    from app.security.issuer_keys import IssuerKeys

REVOCATIONS_S = 2.0
"""Seconds between two reads of the list: what one node revokes holds at all within five."""


class Security:
    """What tells whose a token is, what opens encrypted messages, and what keeps the keys of both up to date."""

    def __init__(self, settings: Settings) -> None:
        security = settings.security
        rules = ClaimRules(
            security.jwt_issuer, security.jwt_audience, security.jwt_max_lifetime_s, leeway_s=DEFAULT_LEEWAY_S
        )
        self._refresh_s = security.jwt_keys_refresh_s
        self.verifier = TokenVerifier(KeySet(()), rules)
        url = security.jwt_keys_url
        self._has_issuer = url is not None
        self._revocations: list[Periodic] = []
        local = LocalKeys(settings.storage.data_dir, security.jwt_keys_file, security.jwt_secret, url is not None)
        self.token_keys = TokenKeys(self.verifier, local, None if url is None else _issuer_keys(url))
        self.ring = KeyRing(encryption_keys_dir(settings), security.encryption_overlap_s)
        self.published = PublishedKeys(self.ring, settings.storage.data_dir)
        self.opener = Opener(self.ring)
        self.contents = Contents(self.ring, self.opener)
        self._sealing_keys_file = sealing_keys_file(settings)

    async def load(self, stack: AsyncExitStack) -> None:
        """Reads the keys, and registers the end of what reads them. Raises KeyConfigurationError."""
        stack.push_async_callback(self.token_keys.close)
        await self.token_keys.load()
        stack.callback(self.opener.close)
        self.ring.load()
        self.sealing_keys = SealingKeys(self._sealing_keys_file)

    async def follow(self, database: Database) -> Revocations:
        """Reads the list of revocations, and from now on whenever it has changed. Raises StorageUnavailable."""
        revocations = Revocations(database, self._revoke)
        await revocations.refresh()
        self._revocations = [Periodic("revocations", REVOCATIONS_S, revocations.refresh)]
        return revocations

    def _revoke(self, revocations: Sequence[Revocation]) -> None:
        entries = (Revoked(each.kind, each.value, each.until.timestamp()) for each in revocations)
        self.verifier.revoke(RevokedTokens(entries), time.time())

    def periodics(self) -> list[Periodic]:
        """What has to be repeated."""
        look = Periodic("token keys' files", LOOK_S, self.token_keys.look)
        refresh = Periodic("issuer's token keys", self._refresh_s, self.token_keys.refresh, at_once=False)
        ring = Periodic("encryption keys", LOOK_S, self.opener.refresh, at_once=False)
        sealing = Periodic("sealing keys", LOOK_S, self._look_at_sealing_keys, at_once=False)
        return [look, *([refresh] if self._has_issuer else ()), *self._revocations, ring, sealing]

    async def _look_at_sealing_keys(self) -> None:
        await asyncio.to_thread(self.sealing_keys.look)


def _issuer_keys(url: str) -> "IssuerKeys":
    from app.security.issuer_keys import IssuerKeys  # noqa: PLC0415 - an HTTP client, for who has an issuer

    return IssuerKeys(url)


def encryption_keys_dir(settings: Settings) -> Path:
    """Where the keys for encrypted messages are."""
    return settings.security.encryption_keys_dir or settings.storage.data_dir / "encryption-keys"


def sealing_keys_file(settings: Settings) -> Path:
    """Where the keys are that seal the secrets of webhooks."""
    return settings.security.sealing_keys_file or settings.storage.data_dir / SEALING_KEYS
