"""The work with private keys, beside the event loop: each takes 0.3 ms of a processor."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from app.security.envelopes.cipher import open_, unwrap
from app.security.envelopes.compact import Envelope, read_envelope
from app.security.envelopes.errors import InvalidEnvelope, KeyMissing
from app.security.envelopes.key_ring import KeyRing, RingKey

THREADS = 2
"""cryptography lets other threads run meanwhile: two of these and the event loop share the processors."""

REREAD_S = 1.0
"""A key that is not known may be new: the directory is read again, but not for each message of a stranger."""


class Opener:
    """Opens with the keys of a ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="envelopes")
        self._reread_at = 0.0

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown()

    async def open(self, text: bytes) -> tuple[Envelope, bytes]:
        """An envelope, and what was inside. Raises EnvelopeTooLarge, InvalidEnvelope."""
        envelope = read_envelope(text)
        key = await self._find(envelope.kid)
        if key is None:
            raise InvalidEnvelope("no key has this kid")
        if not self._ring.opens(key, datetime.now(UTC)):
            raise InvalidEnvelope("the key was retired longer ago than messages for it are taken")
        loop = asyncio.get_running_loop()
        return envelope, await loop.run_in_executor(self._threads, open_, envelope, key.private)

    async def unwrap(self, kid: str, wrapped: bytes) -> bytes:
        """The content key that was wrapped for a key of the ring, however old. Raises KeyMissing."""
        key = await self._find(kid)
        if key is None:
            raise KeyMissing(kid)
        return await asyncio.get_running_loop().run_in_executor(self._threads, unwrap, wrapped, key.private)

    async def refresh(self) -> None:
        """Takes up keys that were made meanwhile. For repetition."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._ring.refresh)

    async def _find(self, kid: str) -> RingKey | None:
        clock = asyncio.get_running_loop().time
        found = self._ring.find(kid)
        if found is None and clock() >= self._reread_at:
            self._reread_at = clock() + REREAD_S
            await self.refresh()
            found = self._ring.find(kid)
        return found
