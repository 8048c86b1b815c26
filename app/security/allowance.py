"""What one replica knows of a subject's rate, and what it holds of it. Times are a monotonic clock's, in seconds."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from math import ceil

from app.protocol.rates import Rate, left, wait_s

HOLD_S = 1.0
"""How long calls that were drawn ahead may be used; less where the window is short."""


@dataclass(slots=True)
class _Lease:
    left: int
    expires_at: float


@dataclass(slots=True, eq=False)
class Allowance:
    """One subject's. `turn` is held by whoever asks the database; `waiting` counts the calls in line for it."""

    subject: str
    rate: Rate
    policy: str
    arrival: float = 0.0
    """As the database told it last; what other replicas have drawn since can only have moved it ahead."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    stock: int = 0
    """What the leases hold together, those that have run out among them."""
    low: int = 0
    """At so little stock more should be drawn."""
    leases: deque[_Lease] = field(default_factory=deque)
    second: int = 0
    calls: int = 0
    calls_before: int = 0
    hold_s: float = 0.0
    """How long what is drawn ahead may be held."""
    policy_header: bytes = b""
    """The value of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10)."""

    def __post_init__(self) -> None:
        self.hold_s = min(HOLD_S, self.rate.window_s / 8)
        self.policy_header = f'"{self.policy}";q={self.rate.limit};w={self.rate.window_s}'.encode()

    def limit_header(self, now: float) -> bytes:
        """The value of RateLimit: how many calls are left, and the seconds after which all of them are."""
        return f'"{self.policy}";r={self.remaining(now)};t={self.reset_s(now)}'.encode()

    def remaining(self, now: float) -> int:
        """Calls that are left. To the database those held here are gone, to the subject they are not."""
        return min(self.rate.limit, left(self.rate, self.arrival, now) + self.held(now))

    def reset_s(self, now: float) -> int:
        """Seconds after which nothing counts any more."""
        return ceil(self.arrival - now) if self.arrival > now else 0

    def take(self, cost: int, now: float) -> bool:
        """Takes so many of those held here, all or none."""
        if self.held(now) < cost:
            return False
        self.spend(cost)
        self.count(cost, now)
        return True

    def held(self, now: float) -> int:
        """How many may be let through without a question."""
        leases = self.leases
        while leases and leases[0].expires_at <= now:
            self.stock -= leases.popleft().left
        return self.stock

    def spend(self, cost: int) -> None:
        """Uses so many of those held, those that run out first coming first."""
        self.stock -= cost
        while cost:
            lease = self.leases[0]
            if lease.left > cost:
                lease.left -= cost
                return
            cost -= lease.left
            self.leases.popleft()

    def drawn(self, beyond: int, asked_at: float, debt_s: float) -> None:
        """The database has answered what was asked then."""
        self.arrival = asked_at + debt_s
        if beyond:
            self.leases.append(_Lease(beyond, asked_at + self.hold_s))
            self.stock += beyond
        self.low = self.stock // 4

    def count(self, cost: int, now: float) -> None:
        """So many calls were let through: as many will be wanted again."""
        second = int(now)
        if second != self.second:
            self.calls_before = self.calls if second == self.second + 1 else 0
            self.second, self.calls = second, 0
        self.calls += cost

    def appetite(self, now: float) -> int:
        """How many more to hold: so many in all as half of a hold has lately used, so that they are used in time.

        Little of what is left when that is little.
        """
        pace = self.calls if int(now) == self.second else 0
        target = ceil(max(pace, self.calls_before) * self.hold_s / 2)
        return max(0, min(target, left(self.rate, self.arrival, now) // 8) - self.held(now))

    def refused_for_s(self, cost: int, now: float) -> float:
        """Seconds for which the database is known to refuse so many."""
        return wait_s(self.rate, self.arrival, now, cost)
