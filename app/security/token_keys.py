"""The keys of the verifier, kept as their sources have them, without a restart.

Files are looked at every second. An issuer's address is read at the start, at intervals, and when a token names a kid
that nobody knows, however many such tokens come, once in ten seconds. What cannot be read or is not fit leaves the last
good keys in place: an issuer that is away locks nobody out.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.security.errors import KeyConfigurationError
from app.security.keys import KeySet, VerificationKey
from app.security.local_keys import LocalKeys
from app.security.tokens import TokenVerifier

if TYPE_CHECKING:
    from app.security.issuer_keys import IssuerKeys

logger = logging.getLogger("app.security")

LOOK_S = 1.0
"""Seconds between two looks at the files."""

LEAST_FETCH_S = 10.0
"""Seconds from one fetch to the next, whatever asks for it."""

MAX_WAITING = 100
"""Requests that wait for the issuer's keys at once; the others are refused straight away."""


class TokenKeys:
    """See the module's docstring. The sources count together; two keys of one kid among them are a mistake."""

    def __init__(
        self,
        verifier: TokenVerifier,
        local: LocalKeys,
        issuer: "IssuerKeys | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verifier = verifier
        self._local = local
        self._issuer = issuer
        self._clock = clock
        self._state: tuple[object, ...] = ()
        self._local_keys: list[VerificationKey] = []
        self._issuer_keys: list[VerificationKey] = []
        self._fetching: asyncio.Task[None] | None = None
        self._fetch_at = self._look_at = float("-inf")
        self._waiting = 0

    async def load(self) -> None:
        """All keys, for the start. Raises KeyConfigurationError with one sentence for the operator."""
        self._state = self._local.state()
        local = await asyncio.to_thread(self._local.read)
        # Reading makes the own key where there is none yet.
        self._state = self._local.state() if self._local.own else self._state
        self._fetch_at = self._clock() + LEAST_FETCH_S
        self._trust(local, [] if self._issuer is None else await self._issuer.fetch())

    async def look(self) -> None:
        """Takes up what has changed in the files. For repetition."""
        self._look_at = self._clock() + LOOK_S / 4
        state = await asyncio.to_thread(self._local.state)
        if state == self._state:
            return
        self._state = state
        try:
            self._trust(await asyncio.to_thread(self._local.read), self._issuer_keys)
        except KeyConfigurationError as error:
            logger.error("the last good token keys stay in use: %s", error)  # noqa: TRY400 - no traceback
        else:
            logger.info("token keys read anew", extra={"kids": sorted(str(key.kid) for key in self._local_keys)})

    async def refresh(self) -> None:
        """Takes up what the issuer publishes now. For repetition."""
        if self._issuer is not None:
            await self._fetched()

    async def look_again(self) -> bool:
        """A token names a kid that nobody knows: True once the sources have been read again, False where not now."""
        looked = self._clock() >= self._look_at
        if looked:
            await self.look()
        if self._issuer is None or self._waiting >= MAX_WAITING:
            return looked
        if self._fetching is None and self._clock() < self._fetch_at:
            return looked
        self._waiting += 1
        try:
            await self._fetched()
        finally:
            self._waiting -= 1
        return True

    async def close(self) -> None:
        """Ends a fetch that is under way, and closes the connection to the issuer."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        if self._issuer is not None:
            await self._issuer.close()

    async def _fetched(self) -> None:
        """Waits for the fetch that is under way, or for a new one."""
        if self._fetching is None:
            self._fetch_at = self._clock() + LEAST_FETCH_S
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetch_is_over)
        # Who gives up waiting does not end it for the others.
        await asyncio.shield(self._fetching)

    def _fetch_is_over(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        assert self._issuer is not None, "asked for where there is an issuer"
        try:
            self._trust(self._local_keys, await self._issuer.fetch())
        except KeyConfigurationError as error:
            logger.error("the last good token keys stay in use: %s", error)  # noqa: TRY400 - no traceback

    def _trust(self, local: list[VerificationKey], issuer: list[VerificationKey]) -> None:
        self._verifier.trust(KeySet([*local, *issuer]))
        self._local_keys, self._issuer_keys = local, issuer
