"""Lanes: what one submitter has waiting in one priority, and the orders in which lanes and their entries come.

Both orders are heaps with lazy removal: what has left stays inside until it comes to the top, so that each step costs
O(log n) and no release ever sorts the queue.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace

from app.resources.request import Request

MOST_COUNTED = 5_000
"""Entries that are looked at to tell a position: of more than so many, every second, third, and so on."""

Vector = tuple[tuple[str, int], ...]
"""Amounts as a key: units and thousandths, sorted."""

Shape = tuple[str, Vector]
"""A kind of task and what it asks for: tasks of one shape fit or do not fit together, and run equally long."""

Due = tuple[float, float, int]
"""A submitter's own order: earliest deadline, then order of submission, then of arrival (which is unique)."""


def shape_of(request: Request) -> Shape:
    """The shape of a request."""
    amounts = request.amounts
    return request.kind, tuple(sorted(amounts.items()))


@dataclass(slots=True, eq=False)
class Entry:
    """A request that waits."""

    request: Request
    due: Due
    shape: Shape
    cost: float
    """Share-seconds that it is expected to take: its dominant share times its expected run time."""
    lane: "Lane"
    waiting: bool = True


class Entries:
    """Entries by their own order."""

    def __init__(self) -> None:
        self._heap: list[tuple[Due, Entry]] = []
        self.waiting = 0

    def add(self, entry: Entry) -> None:
        """The entry joins."""
        heappush(self._heap, (entry.due, entry))
        self.waiting += 1

    def removed(self) -> None:
        """An entry of this order waits no more. Rebuilt when half are gone, so that it never outgrows the queue."""
        self.waiting -= 1
        if len(self._heap) > 2 * self.waiting + 16:
            self._heap = [item for item in self._heap if item[1].waiting]
            heapify(self._heap)

    def first(self) -> Entry | None:
        """The one that is due first."""
        heap = self._heap
        while heap:
            if heap[0][1].waiting:
                return heap[0][1]
            heappop(heap)
        return None

    def before(self, due: Due) -> tuple[int, float]:
        """How many come before a place in the order, and their cost; a good guess where there are very many."""
        step = len(self._heap) // MOST_COUNTED + 1
        costs = [entry.cost for place, entry in self._heap[::step] if place < due and entry.waiting]
        return min(len(costs) * step, max(self.waiting - 1, 0)), sum(costs) * step

    def shapes_before(self, due: Due) -> Counter[Shape]:
        """The same, by shape."""
        step = len(self._heap) // MOST_COUNTED + 1
        found = Counter(entry.shape for place, entry in self._heap[::step] if place < due and entry.waiting)
        return Counter({shape: count * step for shape, count in found.items()})


@dataclass(slots=True, eq=False)
class Lane:
    """One submitter's requests in one priority, and how much it has been served.

    `tag` is its virtual time in share-seconds per weight: the lane with the lowest is served next (start-time fair
    queueing; Goyal, Vin and Cheng, SIGCOMM 1996). It only ever grows.
    """

    number: int
    weight: float
    tag: float = 0.0
    cost: float = 0.0
    """Share-seconds of all that waits."""
    entries: Entries = field(default_factory=Entries)
    by_shape: dict[Shape, Entries] = field(default_factory=dict)

    def charge(self, cost: float) -> None:
        """The lane has been given so many share-seconds."""
        self.tag += cost / self.weight

    def ahead_of(self, tag: float) -> int:
        """How many of its entries are served before its tag passes `tag`, by their mean cost."""
        if self.tag > tag:
            return 0
        mean = self.cost / self.entries.waiting
        step = mean / self.weight
        count = self.entries.waiting
        if step > 0:
            count = int(min(count, (tag - self.tag) / step + 1))
        return count


class LaneOrder:
    """Lanes by their tags, for all that they have waiting or for one shape of it.

    Tags only grow, so a lane whose tag has grown since it was put in is put back where it now belongs when it
    comes to the top.
    """

    def __init__(self, waits: Callable[[Lane], bool]) -> None:
        self._waits = waits
        self._heap: list[tuple[float, int, Lane]] = []
        self._inside: set[Lane] = set()

    def add(self, lane: Lane) -> None:
        """The lane has something waiting; nothing happens where it is inside already."""
        if lane not in self._inside:
            self._inside.add(lane)
            heappush(self._heap, (lane.tag, lane.number, lane))

    def first(self) -> Lane | None:
        """The lane to be served next."""
        heap = self._heap
        while heap:
            tag, number, lane = heap[0]
            if not self._waits(lane):
                heappop(heap)
                self._inside.discard(lane)
            elif tag != lane.tag:
                heapreplace(heap, (lane.tag, number, lane))
            else:
                return lane
        return None
