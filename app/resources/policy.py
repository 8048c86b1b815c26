"""The rules by which resources are granted, as pure functions over plain data. Time is always an argument.

Reservation and backfill follow EASY (D. Lifka, "The ANL/IBM SP Scheduling System", 1995): the first task of the
order that does not fit is promised the earliest time at which it will, and later ones may go ahead only where they do
not put that off.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from app.protocol.resources import Amounts, shortfall

MOST_POSTPONEMENTS = 3
"""How often a promise that did not come true is made anew before nothing may pass the task any more."""

SOONEST_RENEWAL_S = 0.01
LATEST_RENEWAL_S = 1.0
"""Seconds after which a reservation is computed again, a tenth of its length otherwise."""


class Holding(NamedTuple):
    """What a running task holds, and when it is expected to give it back."""

    ends_at: float
    amounts: Amounts


class Fit(NamedTuple):
    """The earliest time at which a request fits, and what is then left beside it."""

    at: float
    spare: Amounts


@dataclass(frozen=True, slots=True)
class Reservation:
    """The promise to the blocked head of the queue.

    Those who go ahead of it have to end before `starts_at` or be content with `spare`. `renew_at` is when it
    is worth computing again: tasks end earlier than expected, and the promise can then be bettered.
    """

    task_id: str
    starts_at: float
    spare: Amounts
    renew_at: float
    postponed: int = 0

    def harmed_by(self, amounts: Amounts, ends_at: float) -> bool:
        """Whether granting so much until `ends_at` could put the promised start off."""
        return ends_at > self.starts_at and bool(shortfall(amounts, self.spare))

    def after(self, amounts: Amounts, ends_at: float) -> "Reservation":
        """The reservation once so much has been granted until `ends_at`."""
        if ends_at <= self.starts_at:
            return self
        spare = subtract(self.spare, amounts)
        return Reservation(self.task_id, self.starts_at, spare, self.renew_at, self.postponed)


def subtract(available: Amounts, amounts: Amounts) -> Amounts:
    """What is left of `available`, unit by unit; never below zero."""
    return {unit: max(amount - amounts.get(unit, 0), 0) for unit, amount in available.items()}


def total(vectors: Iterable[Amounts]) -> Amounts:
    """The sum, unit by unit."""
    summed: Amounts = {}
    for vector in vectors:
        for unit, amount in vector.items():
            summed[unit] = summed.get(unit, 0) + amount
    return summed


def dominant_share(amounts: Amounts, capacity: Amounts) -> float:
    """The largest part of any one unit of the capacity that the request takes, 0..1.

    Shares of unlike units are compared by it (Ghodsi and others, "Dominant Resource Fairness", NSDI 2011).
    """
    share = 0.0
    for unit, amount in amounts.items():  # a plain loop: a third of the time of max() over a generator
        whole = capacity.get(unit)
        if whole and amount > share * whole:
            share = amount / whole
    return share


def expected_end(started_at: float, expected_s: float, timeout_s: float, now: float) -> float:
    """When a running task may be expected to end.

    One that has outrun its kind's usual time is expected to run as long again as it already has, and none
    longer than its time-out.
    """
    elapsed = now - started_at
    remaining = expected_s - elapsed if expected_s > elapsed else elapsed
    return now + max(min(remaining, timeout_s - elapsed), 0.0)


def earliest_fit(amounts: Amounts, free: Amounts, holdings: Iterable[Holding], now: float) -> Fit:
    """When the request will fit, as running tasks end one after another, and what is then left over.

    Raises ValueError where it would not fit into an idle node.
    """
    available = dict(free)
    missing = shortfall(amounts, available)
    at = now
    for ends_at, held in sorted(holdings, key=itemgetter(0)):
        if not missing:
            break
        for unit, amount in held.items():
            available[unit] = available.get(unit, 0) + amount
        at = max(ends_at, now)
        missing = shortfall(amounts, available)
    if missing:
        raise ValueError(f"the request does not fit into an idle node: {missing} thousandths are missing")
    return Fit(at, subtract(available, amounts))


def reserve(task_id: str, fit: Fit, now: float, earlier: Reservation | None = None) -> Reservation:
    """The promise to the task at the head of the queue, given the earliest fit as it looks now.

    A promise is only ever bettered. One that did not come true is made anew a few times, so that a task that outruns
    its kind does not leave the rest of the node idle; after that it stands, and nothing that harms it goes ahead:
    this is what bounds the wait, whatever the estimates are worth.
    """
    starts_at, postponed = fit.at, 0
    if earlier is not None and earlier.task_id == task_id:
        postponed = earlier.postponed
        if now < earlier.starts_at:
            starts_at = min(fit.at, earlier.starts_at)
        elif postponed < MOST_POSTPONEMENTS:
            postponed += 1
        else:
            starts_at = earlier.starts_at
    renew_at = now + min(max((starts_at - now) / 10, SOONEST_RENEWAL_S), LATEST_RENEWAL_S)
    return Reservation(task_id, starts_at, fit.spare, renew_at, postponed)
