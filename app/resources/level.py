"""One priority's queue: a fair share between submitters, and each one's own tasks by earliest deadline."""

from app.resources.lanes import Entries, Entry, Lane, LaneOrder, Shape

SPARE_LANES = 64
"""Idle lanes that a priority may remember beside as many as are in use, before it forgets those without debt."""


class Level:
    """All that waits in one priority."""

    def __init__(self) -> None:
        self.waiting = 0
        self.cost = 0.0
        self.shapes: dict[Shape, LaneOrder] = {}
        self.lanes: dict[str, Lane] = {}
        self._counts: dict[Shape, int] = {}
        self._order = LaneOrder(lambda lane: lane.entries.waiting > 0)
        self._virtual = 0.0
        self._weight = 0.0  # of the lanes that wait
        self._active = 0  # lanes that wait
        self._made = 0

    def add(self, entry: Entry) -> None:
        """The entry waits. A submitter who was not waiting starts level with the others: idleness earns no credit."""
        lane, shape = entry.lane, entry.shape
        if not lane.entries.waiting:
            first = self._order.first()
            lane.tag = max(lane.tag, self._virtual, first.tag if first else 0.0)
            self._weight += lane.weight
            self._active += 1
        lane.entries.add(entry)
        lane.cost += entry.cost
        self._order.add(lane)
        if shape not in lane.by_shape:
            lane.by_shape[shape] = Entries()
        lane.by_shape[shape].add(entry)
        if shape not in self.shapes:
            self.shapes[shape] = LaneOrder(lambda lane: shape in lane.by_shape)
        self.shapes[shape].add(lane)
        self._counts[shape] = self._counts.get(shape, 0) + 1
        self.waiting += 1
        self.cost += entry.cost

    def remove(self, entry: Entry) -> None:
        """The entry waits no more."""
        lane, shape = entry.lane, entry.shape
        entry.waiting = False
        lane.entries.removed()
        lane.cost -= entry.cost
        same = lane.by_shape[shape]
        same.removed()
        if not same.waiting:
            del lane.by_shape[shape]
        self._counts[shape] -= 1
        if not self._counts[shape]:
            del self._counts[shape], self.shapes[shape]
        if not lane.entries.waiting:
            self._weight -= lane.weight
            self._active -= 1
            lane.cost = 0.0
        self.waiting -= 1
        self.cost -= entry.cost

    def charge(self, entry: Entry, cost: float) -> None:
        """The entry, still waiting, is granted: its lane pays the cost, and virtual time moves on.

        It moves by the share that each waiting lane was due. Newcomers start from it, and so cannot, however many they
        are, stay ahead of one who waits.
        """
        entry.lane.charge(cost)
        self._virtual += cost / self._weight

    def first(self) -> Entry | None:
        """The next in order."""
        lane = self._order.first()
        return lane.entries.first() if lane else None

    def first_of(self, shape: Shape) -> Entry | None:
        """The next in order among those of one shape."""
        lane = self.shapes[shape].first()
        return lane.by_shape[shape].first() if lane else None

    def count_of(self, shape: Shape) -> int:
        """How many of that shape wait."""
        return self._counts[shape]

    def lane_of(self, submitter: str, weight: float) -> Lane:
        """The submitter's lane, made where there is none; what it owes is counted by this weight from now on."""
        lane = self.lanes.get(submitter)
        if lane is None:
            self._forget_idle()
            self._made += 1
            lane = self.lanes[submitter] = Lane(self._made, weight)
        elif lane.weight != weight:
            if lane.entries.waiting:
                self._weight += weight - lane.weight
            lane.weight = weight
        return lane

    def ahead_of(self, entry: Entry) -> tuple[int, dict[Shape, float]]:
        """How many in this priority come before the entry, in all and by shape, where numbers may be fractions.

        Costs O(lanes + the lane's own entries).
        """
        lane = entry.lane
        count, cost = lane.entries.before(entry.due)
        only_one = len(lane.by_shape) == 1
        shapes: dict[Shape, float] = {entry.shape: count} if only_one else dict(lane.entries.shapes_before(entry.due))
        tag = lane.tag + cost / lane.weight
        for other in self.lanes.values():
            if other is not lane and other.entries.waiting:
                more = other.ahead_of(tag)
                count += more
                for shape, same in other.by_shape.items():
                    shapes[shape] = shapes.get(shape, 0.0) + same.waiting * more / other.entries.waiting
        return count, shapes

    @property
    def by_shape(self) -> dict[Shape, int]:
        """How many of each shape wait."""
        return self._counts

    def _forget_idle(self) -> None:
        """Drops idle lanes that owe nothing, once there are many: submitters come and go for years."""
        if len(self.lanes) > 2 * self._active + SPARE_LANES:
            self.lanes = {
                name: lane for name, lane in self.lanes.items() if lane.entries.waiting or lane.tag > self._virtual
            }
