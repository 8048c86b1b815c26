"""Who holds what, since when, and until when it may be expected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.protocol.resources import Amounts
from app.resources.estimate import Estimate, estimate, remaining
from app.resources.lanes import Lane, Shape
from app.resources.learnt import Learnt
from app.resources.policy import Holding, dominant_share, earliest_fit, expected_end, total
from app.resources.pool import NotAllocated, Pool
from app.resources.request import Grant, Request


@dataclass(slots=True, eq=False)
class Running:
    """A request that was granted. It holds `share` of the node.

    `lane` has paid `cost` share-seconds for it; None where nobody had to wait.
    """

    request: Request
    granted_at: float
    share: float
    lane: Lane | None
    cost: float


class Allocations:
    """The pool of one node, the tasks that hold parts of it, and what was learnt from them."""

    def __init__(self, capacity: Amounts) -> None:
        self.pool = Pool(capacity)
        self.learnt = Learnt()
        self.held = 0.0
        """The shares of all that run, together: more than 1 where they need unlike units."""
        self._running: dict[str, Running] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._running

    def all_fit(self, requests: dict[str, Request]) -> bool:
        """Whether all the requests could be granted now, together."""
        return self.pool.fits(total(request.amounts for request in requests.values()))

    def share_of(self, amounts: Amounts) -> float:
        """The dominant share of so much in the node."""
        return dominant_share(amounts, self.pool.capacity)

    def cost_of(self, request: Request) -> float:
        """What the request is expected to take: its dominant share times the usual run time of its kind, in seconds."""
        return self.share_of(request.amounts) * self.learnt.times.expected(request.kind)

    def grant(self, request: Request, now: float, lane: Lane | None, cost: float) -> Grant:
        """Gives the request all it asks for. Raises NotEnough or AlreadyAllocated."""
        allocation = self.pool.allocate(request.task_id, request.amounts)
        share = self.share_of(request.amounts)
        self._running[request.task_id] = Running(request, now, share, lane, cost)
        self.held += share
        return Grant(request.task_id, request.amounts, allocation.gpu_devices)

    def release(self, task_id: str, now: float, *, ran_to_end: bool) -> None:
        """Takes back what the task holds. Raises NotAllocated where that is nothing."""
        running = self._running.pop(task_id, None)
        if running is None:
            raise NotAllocated(task_id)
        self.pool.release(task_id)
        self.held = self.held - running.share if self._running else 0.0
        held_s = now - running.granted_at
        if ran_to_end:
            self.learnt.times.observe(running.request.kind, held_s)
        if running.lane is not None:
            # A lane pays in advance what its kind usually takes, and the rest when a task took longer.
            running.lane.charge(max(running.share * held_s - running.cost, 0.0))

    def holdings(self, now: float) -> list[Holding]:
        """What running tasks hold, and when each may be expected to end. Looks at all of them."""
        return [Holding(self._ends_at(running, now), running.request.amounts) for running in self._running.values()]

    def ends_surely_at(self, request: Request, now: float) -> float:
        """When the request, granted now, will have ended, as far as its kind has ever been seen to run."""
        return now + self.learnt.times.cautious(request.kind, request.timeout_s)

    def holders_of(self, units: Amounts, now: float) -> list[Running]:
        """The tasks that hold any of the units, those expected to end first coming first."""
        holders = [
            running for running in self._running.values() if not units.keys().isdisjoint(running.request.amounts)
        ]
        return sorted(holders, key=lambda running: self._ends_at(running, now))

    def expected_start(
        self, request: Request, holders: Sequence[Running], ahead: Mapping[Shape, float], now: float
    ) -> Estimate | None:
        """When a request should start behind `ahead`, where `holders` hold what it needs.

        None before any task has been seen to end.
        """
        learnt = self.learnt
        usual = learnt.times.of_all()
        if usual is None:
            return None
        batches = [
            batch
            for (kind, vector), count in ahead.items()
            if (batch := learnt.batch(kind, count, self.share_of(dict(vector))))
        ]
        left = [
            remaining(learnt.times.runs(each.request.kind) or usual, now - each.granted_at, each.request.timeout_s)
            for each in holders
        ]
        held = [each.request.amounts for each in holders]
        fits = [
            earliest_fit(request.amounts, self.pool.free, map(Holding, ends, held), now).at
            for ends in ([now + each[column] for each in left] for column in range(3))  # least, middle, most
        ]
        running = [(each.share, its_left) for each, its_left in zip(holders, left, strict=True)]
        share = self.share_of(request.amounts)
        return estimate(now, Estimate(*fits), running, batches, share, learnt.pace.of(share))

    def expected_end(self, task_id: str, now: float) -> float | None:
        """When the task should give back what it holds; None where it holds nothing, or its kind is unknown."""
        running = self._running.get(task_id)
        if running is None or not self.learnt.times.known(running.request.kind):
            return None
        return self._ends_at(running, now)

    def _ends_at(self, running: Running, now: float) -> float:
        request = running.request
        return expected_end(running.granted_at, self.learnt.times.expected(request.kind), request.timeout_s, now)
