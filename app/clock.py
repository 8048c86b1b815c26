"""The time of all nodes: what one writes is compared with what others write, and the clock of its machine may be wrong.

It begins with the machine's time and goes on by the monotonic clock, which nobody turns. Where the database's clock
turns out to differ from it (at the start, after a machine was suspended), it is set by that one. Who asks for the time
to judge a token asks the machine: keys and tokens have nothing to do with the database.
"""

import logging
import time
from datetime import UTC, datetime

logger = logging.getLogger("app.clock")

TOLERATED_S = 1.0
"""How far it may be off the database's, in seconds."""


class Clock:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def nanoseconds(self) -> int:
        """Nanoseconds since the epoch."""
        return self._offset_ns + time.monotonic_ns()

    def seconds(self) -> float:
        """Seconds since the epoch."""
        return self.nanoseconds() / 1e9

    def follow(self, database_s: float, asked_s: float) -> None:
        """The database was asked for its time at `asked_s` by this clock, and has just answered."""
        answered_s = self.seconds()
        if asked_s - TOLERATED_S <= database_s <= answered_s + TOLERATED_S:
            return
        off_s = database_s - (asked_s + answered_s) / 2
        self._offset_ns += int(off_s * 1e9)
        logger.warning(
            "the clock is set by the database's: it was %.1f s %s", abs(off_s), "ahead" if off_s < 0 else "behind"
        )


clock = Clock()
"""This process's."""


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.fromtimestamp(clock.seconds(), UTC)
