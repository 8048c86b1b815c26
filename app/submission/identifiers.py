"""New task ids: UUIDv7, so that they sort by time and cannot be guessed."""

import os

from app.clock import clock
from app.protocol.ids import uuid7

RESERVE_BYTES = 4096


class _Randomness:
    """The system's randomness, fetched in stock: a system call for each id would cost more than the id."""

    def __init__(self) -> None:
        self._stock = b""
        self._used = 0

    def bits(self, count: int) -> int:
        """So many random bits, none of them given out before."""
        size = (count + 7) // 8
        if self._used + size > len(self._stock):
            self._stock, self._used = os.urandom(RESERVE_BYTES), 0
        taken = self._stock[self._used : self._used + size]
        self._used += size
        return int.from_bytes(taken) >> (8 * size - count)


_randomness = _Randomness()


def new_task_id() -> str:
    """A UUIDv7 of now, which sorts by quarters of a microsecond (RFC 9562, section 6.2, method 3)."""
    milliseconds, rest = divmod(clock.nanoseconds(), 1_000_000)
    return str(uuid7(milliseconds, (rest * 4096 // 1_000_000) << 62 | _randomness.bits(62)))
