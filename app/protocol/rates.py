"""Rate limits: so many in a window of time, decided by the generic cell rate algorithm (GCRA, ITU-T I.371).

A subject is known by one number, the *arrival*: the time at which all that it has taken so far would have arrived at
an even pace. What it takes moves the arrival ahead, and the arrival may be ahead of now by one window at most. So in
any time t no more than limit + t * limit / window is let through. Pure: the time is an argument.
"""

import re
from dataclasses import dataclass, field
from math import ceil, floor
from typing import NamedTuple

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
MAX_PER_SECOND = 100_000
"""Beyond it a double no longer tells the moments of two calls apart by enough."""

SLACK = 0.05
"""Of one: what rounding of times to a quarter of a microsecond may take away from a whole one."""

_RATE = re.compile(rf"([1-9]\d{{0,8}})/({'|'.join(UNITS)})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """`limit` in `window_s` seconds; all of them at once, after which they come back one by one."""

    limit: int
    window_s: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """A rate such as "6000/minute". Raises ValueError with a sentence that says how one is written."""
        found = _RATE.fullmatch(text.strip().lower())
        if not found:
            raise ValueError(f"must be a number and a unit such as 6000/minute ({', '.join(UNITS)}), or off")
        rate = cls(int(found[1]), UNITS[found[2]])
        if rate.limit > MAX_PER_SECOND * rate.window_s:
            raise ValueError(f"must not be more than {MAX_PER_SECOND} a second; off means no limit at all")
        return rate

    def __str__(self) -> str:
        unit = next(name for name, seconds in UNITS.items() if seconds == self.window_s)
        return f"{self.limit}/{unit}"

    interval_s: float = field(init=False, repr=False, compare=False)
    """Seconds after which one more is let through."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval_s", self.window_s / self.limit)


class Wish(NamedTuple):
    """What is to be let through: `wanted` or nothing; then up to `more` at once; then up to `ahead`, to be held.

    What is held may be used up to `hold_s` seconds later.
    """

    wanted: int = 1
    more: int = 0
    ahead: int = 0
    hold_s: float = 0.0


class Drawn(NamedTuple):
    """Whether what was wanted is let through, how many beyond it, and how far the subject's arrival is ahead of now."""

    granted: bool
    beyond: int
    debt_s: float


def draw(rate: Rate, arrival: float, now: float, wish: Wish = Wish()) -> Drawn:  # noqa: B008 - it cannot be changed
    """What is let through now. The function draw_rate of the database decides in the same way.

    What is taken ahead counts as used at the last possible moment, so that however it is used no more than the
    limit is let through in any stretch of time.
    """
    arrival = max(arrival, now)
    if _room(rate, arrival, now) < wish.wanted:
        return Drawn(granted=False, beyond=0, debt_s=arrival - now)
    at_once = min(wish.wanted + wish.more, _room(rate, arrival, now))
    arrival += at_once * rate.interval_s
    held_from = max(arrival, now + wish.hold_s)
    ahead = min(wish.ahead, max(0, _room(rate, held_from, now)))
    if ahead:
        arrival = held_from + ahead * rate.interval_s
    return Drawn(granted=True, beyond=at_once - wish.wanted + ahead, debt_s=arrival - now)


def left(rate: Rate, arrival: float, now: float) -> int:
    """How many would be let through now."""
    return max(0, _room(rate, max(arrival, now), now))


def wait_s(rate: Rate, arrival: float, now: float, wanted: int = 1) -> float:
    """Seconds until so many will be let through; 0 where they would be now."""
    return max(0.0, arrival + (min(wanted, rate.limit) - rate.limit) * rate.interval_s - now)


def whole_seconds(seconds: float) -> int:
    """As Retry-After has it: rounded up, and at least 1, since 0 would invite to try at once."""
    return max(1, ceil(seconds))


def _room(rate: Rate, arrival: float, now: float) -> int:
    return floor((now + rate.window_s - arrival) / rate.interval_s + SLACK)
