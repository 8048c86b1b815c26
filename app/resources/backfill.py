"""Backfill: what may go ahead of the blocked head of the queue, because it does not put its start off."""

from dataclasses import replace
from math import inf
from typing import NamedTuple

from app.resources.allocations import Allocations
from app.resources.lanes import Entry
from app.resources.level import Level
from app.resources.policy import Reservation, earliest_fit, reserve
from app.resources.queue import FairQueue

SHAPES_LOOKED_AT = 200
"""How many shapes of request one search looks at, the most urgent priorities first, before it gives up."""


class _Candidate(NamedTuple):
    """Compared by its place in the fair order: the lane's tag, then the submitter's own order, which is unique."""

    tag: float
    due: tuple[float, float, int]
    entry: Entry
    ends_at: float


class Backfill:
    """Keeps the reservation of the head of the queue, and finds what may pass it."""

    def __init__(self, allocations: Allocations, queue: FairQueue) -> None:
        self._allocations = allocations
        self._queue = queue
        self._reservation: Reservation | None = None

    def next(self, head: Entry, now: float) -> Entry | None:
        """The first in order that fits now and does not harm the head; it counts as granted from here on."""
        looked_at = 0
        for level in self._queue.levels():
            candidates = self._candidates(level, head, now)
            if candidates:
                best = min(candidates)
                self._reservation = self._reserved(head, now).after(best.entry.request.amounts, best.ends_at)
                return best.entry
            looked_at += len(level.shapes)
            if looked_at >= SHAPES_LOOKED_AT:
                break
        return None

    def granted_in_order(self) -> None:
        """Somebody was granted resources in the ordinary order: what the reservation rests on has changed."""
        if self._reservation is not None:
            self._reservation = replace(self._reservation, renew_at=-inf)

    def _candidates(self, level: Level, head: Entry, now: float) -> list[_Candidate]:
        """The first entry of each shape that fits and is harmless."""
        found = []
        for position, shape in enumerate(level.shapes):
            if position >= SHAPES_LOOKED_AT:
                break
            if not self._allocations.pool.has(shape[1]):
                continue
            entry = level.first_of(shape)
            assert entry is not None, "a shape is listed while requests of it wait"
            ends_at = self._allocations.ends_surely_at(entry.request, now)
            if not self._reserved(head, now).harmed_by(entry.request.amounts, ends_at):
                found.append(_Candidate(entry.lane.tag, entry.due, entry, ends_at))
        return found

    def _reserved(self, head: Entry, now: float) -> Reservation:
        """The head's reservation. Computed only when something might pass, and again when it is due."""
        known = self._reservation
        if known is not None and known.task_id == head.request.task_id and now < known.renew_at:
            return known
        allocations = self._allocations
        fit = earliest_fit(head.request.amounts, allocations.pool.free, allocations.holdings(now), now)
        self._reservation = reserve(head.request.task_id, fit, now, known)
        return self._reservation
