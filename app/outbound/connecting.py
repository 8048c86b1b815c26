"""Connecting by a name without trusting it: resolved once, every address checked, and one of those is called.

The name goes on to be the one of the TLS handshake (SNI, certificate) and of the Host header. Between the check and the
connection nothing resolves it again, so that a name which stands for another address a moment later (DNS rebinding)
gains nothing by it.
"""

import asyncio
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import httpcore

from app.outbound.addresses import address_of
from app.outbound.errors import Cause, ForbiddenTarget, NoAnswer
from app.outbound.rules import OutboundRules

CONNECT_TIMEOUT_S = 4.0
MAX_ADDRESSES = 4
"""Addresses of one name that are tried, one after the other."""

RESOLVER_THREADS = 192
"""Three times the webhooks under way at once: a look-up may take the system thrice as long as the attempt that waits.

One submitter's names, whose server never answers, must not hold up the names of others. Each is made when needed.
"""


class Resolver(Protocol):
    """What a name stands for."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """All addresses of a host, as text. Raises OSError where there are none."""

    def close(self) -> None:
        """Lets go of what it holds."""


class SystemResolver:
    """The system's own resolver, in threads of its own.

    A name server that never answers holds a thread for as long as the system tries: in the loop's shared threads
    it would hold up everybody else's names, and more than names.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")

    async def resolve(self, host: str, port: int) -> list[str]:
        """All addresses of a host, in the system's order of preference."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        """Begins no further look-up; one under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """The one door to the network for the HTTP client: it gets names, and connects to checked addresses only."""

    def __init__(self, rules: OutboundRules, resolver: Resolver) -> None:
        self._rules = rules
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first of the name's addresses that takes one.

        Raises ForbiddenTarget where any of them is not permitted: a name that mixes public addresses with private
        ones means no good.
        """
        addresses = await self._checked(host, port)
        seconds = CONNECT_TIMEOUT_S if timeout is None else min(timeout, CONNECT_TIMEOUT_S)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(addresses[-1], port, seconds, local_address, socket_options)

    async def _checked(self, host: str, port: int) -> list[str]:
        try:
            found = [str(address_of(host))]
        except ValueError:
            found = await self._resolve(host, port)
        for text in found:
            if not self._is_permitted(text):
                raise ForbiddenTarget("must not stand for an address that is private, local or reserved")
        return found[:MAX_ADDRESSES]

    def _is_permitted(self, text: str) -> bool:
        try:
            return self._rules.permits(address_of(text))
        except ValueError:
            return False

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            found = await self._resolver.resolve(host, port)
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise NoAnswer(Cause.UNRESOLVED)
        return found
