"""What follows from an attempt: delivered, again later, or the end. Pure: time and chance come in as arguments."""

from dataclasses import dataclass
from typing import NamedTuple

from app.protocol.backoff import backoff_s

GONE = 410
RETRY_AFTER_MAX_S = 86_400.0

ACTIVE, ENDED, DEAD = "active", "gone", "dead"
"""What can become of a delivery: it goes on; the receiver wants no more (410); it has been given up."""

FORBIDDEN, UNSIGNED = "forbidden", "unsigned"
"""Attempts that were none: the address must not be called; there is nothing to sign with."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a message is sent again, in seconds.

    Before the second attempt at most `initial_s`, doubled each time up to `max_s`, drawn at random between zero and
    that. A message that has waited for `give_up_s` is attempted no more.
    """

    initial_s: float = 5.0
    max_s: float = 4 * 3600.0
    give_up_s: float = 3 * 86_400.0


class Answered(NamedTuple):
    """How an attempt ended, as it is stored: a class of status (`2xx`), or why there was none.

    `status` and `retry_after_s` are where there was an answer.
    """

    outcome: str
    status: int | None = None
    retry_after_s: float | None = None

    @property
    def is_accepted(self) -> bool:
        """The receiver has taken the message."""
        return self.outcome == "2xx"

    @property
    def is_alive(self) -> bool:
        """There is somebody there who is not overwhelmed: what is wrong is wrong with this message or address."""
        return self.outcome in ("2xx", "3xx", "4xx") and self.status != 429  # noqa: PLR2004 - RFC 6585, section 4


class Verdict(NamedTuple):
    """What becomes of the delivery, and the seconds until the same message is sent again, if it is."""

    state: str
    delay_s: float


def outcome_of(status: int) -> str:
    """The class of a status: more is not kept, so that nobody can read through a webhook."""
    return f"{status // 100}xx"


def decide(answered: Answered, failures: int, waited_s: float, schedule: Schedule, draw: float) -> Verdict:
    """After `failures` earlier attempts at a message that has waited for so long; `draw` is random in [0, 1)."""
    if answered.status == GONE:
        return Verdict(ENDED, 0)
    delay_s = backoff_s(failures + 1, schedule.initial_s, schedule.max_s, draw)
    if answered.retry_after_s is not None and not answered.is_accepted:
        delay_s = max(delay_s, min(answered.retry_after_s, RETRY_AFTER_MAX_S))
    gives_up = waited_s >= schedule.give_up_s and not answered.is_accepted
    return Verdict(DEAD if gives_up else ACTIVE, delay_s)
