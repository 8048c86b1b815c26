"""How often an address may call without a valid token: a table in memory, asked before a token is looked at."""

import ipaddress
import time
from collections.abc import Callable
from functools import lru_cache

from app.protocol.rates import Rate, draw, left, wait_s, whole_seconds
from app.security.errors import RateLimited

ADDRESSES = 100_000
"""Addresses that are remembered, about 15 MB."""

POLICY = "calls-without-token"


class AddressLimits:
    """Counts the calls of each address that came without a valid token; for one event loop's thread.

    An address over the limit is refused whatever it sends, until time has paid its debt. Who has valid tokens only is
    never counted, so that the one address of a proxy or of a firm may serve many. The table is bounded: when it is
    full, those that owe nothing go, then the oldest.
    """

    def __init__(
        self, rate: Rate | None, capacity: int = ADDRESSES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._capacity = capacity
        self._clock = clock
        self._arrivals: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._arrivals)

    def check(self, address: str | None) -> None:
        """Raises RateLimited for an address over the limit. Costs nothing while every token is valid."""
        if not self._arrivals or self._rate is None:
            return
        arrival = self._arrivals.get(network_of(address))
        if arrival is not None and not left(self._rate, arrival, now := self._clock()):
            raise RateLimited(POLICY, self._rate, whole_seconds(wait_s(self._rate, arrival, now)))

    def charge(self, address: str | None) -> None:
        """The address called without a valid token."""
        if self._rate is None:
            return
        network, now = network_of(address), self._clock()
        arrival = self._arrivals.pop(network, now)
        if len(self._arrivals) >= self._capacity:
            self._forget(now)
        # Put behind the others: the first in the table is the one that has been quiet for longest.
        self._arrivals[network] = now + draw(self._rate, arrival, now).debt_s

    def _forget(self, now: float) -> None:
        self._arrivals = {network: arrival for network, arrival in self._arrivals.items() if arrival > now}
        # An eighth at once: a flood of addresses must not cost a walk through the table each time.
        surplus = len(self._arrivals) - self._capacity * 7 // 8
        for network in list(self._arrivals)[: max(surplus, 0)]:
            del self._arrivals[network]


@lru_cache(maxsize=4096)
def network_of(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one, which is what a customer is given."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
