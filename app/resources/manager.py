"""The protocol's Resource Manager: grants requests in order, all-or-nothing, and says why the others wait.

It is used from one event loop by plain calls: nothing here waits, locks, reads a clock or does I/O. The dispatcher
calls `request` for new tasks and `release` for ended ones, and `decide` once after any number of either. Times are
seconds since the epoch.
"""

from collections.abc import Mapping
from typing import Any

from app.protocol.resources import Amounts, shortfall, to_wire
from app.resources.aging import Aging
from app.resources.allocations import Allocations
from app.resources.backfill import Backfill
from app.resources.census import Census, line_of_request
from app.resources.explanation import Standing, explain
from app.resources.lanes import Entry
from app.resources.learnt import Learnt
from app.resources.policy import earliest_fit
from app.resources.pool import AlreadyAllocated
from app.resources.queue import FairQueue
from app.resources.request import Grant, Request


class ResourceManager:
    """The resources of one node, who holds them, and who waits for them in which order.

    `weights` are the shares of submitters (1 where not named). A priority that is passed over for `aging_s`
    seconds gets one grant in `aged_share` until it is served in the ordinary way.
    """

    def __init__(
        self, capacity: Amounts, weights: Mapping[str, float] | None = None, aging_s: float = 60.0, aged_share: int = 10
    ) -> None:
        self.census = Census()
        """What waits, counted line by line; what has been asked for since the last decision is not in it yet."""
        self._allocations = Allocations(capacity)
        # Those of the service are none at its start and become some: an empty mapping is kept as well.
        self._weights = {} if weights is None else weights
        self._queue = FairQueue(Aging(aging_s, aged_share), self._weights)
        self._backfill = Backfill(self._allocations, self._queue)
        self._incoming: dict[str, Request] = {}  # since the last decision
        self._entries: dict[str, Entry] = {}  # in the queue
        self._beyond: dict[str, Request] = {}  # more than the whole capacity: never granted, and in nobody's way

    # -- asking and giving back -------------------------------------------------------------------

    def request(self, request: Request) -> None:
        """The task asks for its resources; `decide` answers. Raises AlreadyAllocated where it holds or waits."""
        task_id = request.task_id
        if task_id in self._allocations or task_id in self._incoming:
            raise AlreadyAllocated(task_id)
        if task_id in self._entries or task_id in self._beyond:
            raise AlreadyAllocated(task_id)
        self._incoming[task_id] = request

    def withdraw(self, task_id: str) -> bool:
        """The task does not want its resources any more. False where it was not waiting: granted, or unknown."""
        if self._incoming.pop(task_id, None):
            return True
        request = self._beyond.pop(task_id, None)
        entry = self._entries.pop(task_id, None)
        if entry is not None:
            self._queue.remove(entry)
            request = entry.request
            self.learnt.pace.withdrawn(self._allocations.share_of(request.amounts))
            if not self._entries:
                self.learnt.idleness.ended()
        if request is not None:
            self.census.add(line_of_request(request), -1)
        return request is not None

    def release(self, task_id: str, now: float, *, ran_to_end: bool = True) -> None:
        """The task gives back all that it was granted. Raises NotAllocated where it holds nothing.

        `ran_to_end` is false where its run says nothing about how long others of its kind run: cancelled, handed back.
        """
        self._allocations.release(task_id, now, ran_to_end=ran_to_end)

    def decide(self, now: float) -> list[Grant]:
        """Grants all that can be granted now, in order. Call it after any number of requests, releases, withdrawals.

        Where nobody waits and everything asked for fits, it costs a few microseconds a task.
        """
        if self._incoming:
            if not self._entries and self._allocations.all_fit(self._incoming):
                grants = [self._allocations.grant(request, now, None, 0.0) for request in self._incoming.values()]
                self._incoming.clear()
                return grants
            self._enqueue(now)
        return self._serve(now)

    # -- what can be told -------------------------------------------------------------------------

    @property
    def capacity(self) -> Amounts:
        """All that this node has."""
        return dict(self._allocations.pool.capacity)

    @property
    def allocated(self) -> Amounts:
        """All that is held, zeros left out: empty at rest."""
        return self._allocations.pool.allocated

    @property
    def most_urgent_waiting(self) -> int | None:
        """The most urgent priority among the requests that wait for their turn; None where none does."""
        return self._queue.most_urgent

    @property
    def running_count(self) -> int:
        """How many tasks hold something."""
        return len(self._allocations)

    @property
    def waiting_count(self) -> int:
        """How many requests wait."""
        return len(self._incoming) + len(self._entries) + len(self._beyond)

    def weight_of(self, submitter: str) -> float:
        """The submitter's share beside others."""
        return self._weights.get(submitter, 1.0)

    def free_for(self, amounts: Amounts) -> bool:
        """Whether a request would be granted at once: nobody waits, and it fits."""
        return not self._entries and not self._incoming and self._allocations.pool.fits(amounts)

    def capacity_shortfall(self, amounts: Amounts) -> Amounts:
        """What the whole node lacks for a request, in thousandths; empty where it fits an idle node."""
        return shortfall(amounts, self._allocations.pool.capacity)

    def blocked_by_capacity(self, amounts: Amounts) -> bool:
        """Whether no waiting will help: the request is more than the whole node has."""
        return bool(self.capacity_shortfall(amounts))

    def pending_by_shape(self) -> list[tuple[Amounts, int]]:
        """What waits: each vector asked for, and how many requests ask for it."""
        counts = self._queue.by_amounts()
        for request in (*self._incoming.values(), *self._beyond.values()):
            vector = tuple(sorted(request.amounts.items()))
            counts[vector] = counts.get(vector, 0) + 1
        return [(dict(vector), number) for vector, number in counts.items()]

    def snapshot(self) -> dict[str, Any]:
        """Capacity, allocated, free and waiting, as GET /v1/resources shows them."""
        capacity, free = self._allocations.pool.capacity, self._allocations.pool.free
        return {
            "capacity": to_wire(capacity),
            "allocated": to_wire({unit: amount - free[unit] for unit, amount in capacity.items()}),
            "free": to_wire(free),
            "running": self.running_count,
            "waiting": self.waiting_count,
            "waiting_for": [
                {"resources": to_wire(amounts), "tasks": number} for amounts, number in self.pending_by_shape()
            ],
        }

    def waiting(self, task_id: str, now: float) -> dict[str, Any] | None:
        """Why the task waits, for `details.waiting`; None where it does not wait here."""
        self._enqueue(now)
        if task_id in self._beyond:
            missing = self.capacity_shortfall(self._beyond[task_id].amounts)
            return explain(Standing(missing, never=True))
        entry = self._entries.get(task_id)
        return None if entry is None else explain(self._standing(entry, now))

    @property
    def learnt(self) -> Learnt:
        """What was learnt from what ran here."""
        return self._allocations.learnt

    def expected_runs(self) -> dict[str, float]:
        """How long tasks of each kind that has been seen to end usually run, in seconds."""
        return self.learnt.times.means()

    def expected_end(self, task_id: str, now: float) -> float | None:
        """When a task that holds or waits here should be over; None where its kind (or one before it) is unknown."""
        self._enqueue(now)
        entry = self._entries.get(task_id)
        if entry is None:
            return self._allocations.expected_end(task_id, now)
        allocations, standing = self._allocations, self._standing(entry, now)
        in_the_way = allocations.holders_of(standing.missing or entry.request.amounts, now)
        kinds = [entry.request.kind, *(holder.request.kind for holder in in_the_way)]
        if standing.start is None or not all(self.learnt.times.known(kind) for kind in kinds):
            return None
        return standing.start.expected + self.learnt.times.expected(entry.request.kind)

    def soonest_end(self, request: Request, now: float) -> float | None:
        """When a request made now would be over at the soonest: once it fits, and behind what is more urgent.

        None where its kind, or one that is in its way, has not been seen to end.
        """
        run_s = self.expected_runs().get(request.kind)
        if run_s is None or self.blocked_by_capacity(request.amounts):
            return None
        if self.free_for(request.amounts):
            return now + run_s
        allocations = self._allocations
        missing = shortfall(request.amounts, allocations.pool.free)
        if not all(self.learnt.times.known(holder.request.kind) for holder in allocations.holders_of(missing, now)):
            return None
        fit = earliest_fit(request.amounts, allocations.pool.free, allocations.holdings(now), now)
        return fit.at + self._queue.cost_before(request.priority) + run_s

    # -- inside -----------------------------------------------------------------------------------

    def _enqueue(self, now: float) -> None:
        for task_id, request in self._incoming.items():
            self.census.add(line_of_request(request))
            if self.blocked_by_capacity(request.amounts):
                self._beyond[task_id] = request
            else:
                self._entries[task_id] = self._queue.add(request, self._allocations.cost_of(request), now)
                self.learnt.pace.waits(self._allocations.share_of(request.amounts))
        self._incoming.clear()

    def _serve(self, now: float) -> list[Grant]:
        """Grants from the head of the queue while it fits; then what may pass the head that does not."""
        grants, idleness = [], self.learnt.idleness
        idleness.passed(now)
        while (head := self._queue.first(now)) is not None:
            in_order = self._allocations.pool.fits(head.request.amounts)
            entry = head if in_order else self._backfill.next(head, now)
            if entry is None:
                break
            # What its kind takes may have been learnt only since it came.
            cost = self._allocations.cost_of(entry.request)
            grants.append(self._allocations.grant(entry.request, now, entry.lane, cost))
            self._queue.take(entry, now, cost, in_order=in_order)
            if in_order:
                self._backfill.granted_in_order()
            share = self._allocations.share_of(entry.request.amounts)
            idleness.granted(share)
            self.learnt.pace.granted(share, now)
            del self._entries[entry.request.task_id]
            self.census.add(line_of_request(entry.request), -1)
        if head is None:
            idleness.ended()
        else:
            idleness.left(self._allocations.share_of(head.request.amounts), self._allocations.held)
        return grants

    def _standing(self, entry: Entry, now: float) -> Standing:
        amounts = entry.request.amounts
        allocations = self._allocations
        missing = shortfall(amounts, allocations.pool.free)
        ahead = self._queue.ahead_of(entry)
        holders = allocations.holders_of(missing or amounts, now)
        start = allocations.expected_start(entry.request, holders, ahead.shapes, now)
        in_the_way = [holder.request for holder in holders] if missing else []
        own = [request.task_id for request in in_the_way if request.submitter == entry.request.submitter]
        return Standing(missing, False, ahead.requests + 1, own, len(in_the_way) - len(own), start)
