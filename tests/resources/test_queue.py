"""The queue's heaps against a plain sort of everything that waits."""

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.resources.aging import Aging
from app.resources.lanes import Entry
from app.resources.queue import FairQueue
from app.resources.request import Request


def request(number: int, submitter: str = "alice", priority: int = 1, deadline: float | None = None) -> Request:
    return Request(f"task-{number}", submitter, priority, {"cpu": 1000}, float(number), deadline)


def queue_of(*requests: Request, weights: dict[str, float] | None = None) -> FairQueue:
    queue = FairQueue(Aging(60, 10), weights or {})
    for each in requests:
        queue.add(each, 1.0, 0.0)
    return queue


def served(queue: FairQueue, now: float = 0.0) -> list[str]:
    order = []
    while (entry := queue.first(now)) is not None:
        queue.take(entry, now, in_order=True)
        order.append(entry.request.task_id)
    return order


def test_the_lower_priority_number_comes_first() -> None:
    requests = [request(number, priority=priority) for number, priority in enumerate((5, -3, 1, 5, 0))]
    assert served(queue_of(*requests)) == ["task-1", "task-4", "task-2", "task-0", "task-3"]


def test_a_submitters_own_come_by_deadline_and_then_by_submission() -> None:
    requests = [request(3), request(2, deadline=20), request(1), request(0, deadline=30)]
    assert served(queue_of(*requests)) == ["task-2", "task-0", "task-1", "task-3"]


def test_submitters_of_one_priority_take_turns() -> None:
    flood = [request(number, "flooder") for number in range(5)]
    order = served(queue_of(*flood, request(10, "alice"), request(11, "bob")))
    assert set(order[1:3]) == {"task-10", "task-11"}


def test_a_deadline_does_not_take_a_turn_away_from_another_submitter() -> None:
    urgent = [request(number, "hurried", deadline=1.0) for number in range(5)]
    order = served(queue_of(*urgent, request(10, "alice")))
    assert order.index("task-10") == 1


def test_a_weight_of_three_gets_three_turns() -> None:
    heavy = [request(number, "heavy") for number in range(30)]
    light = [request(number, "light") for number in range(100, 130)]
    order = served(queue_of(*heavy, *light, weights={"heavy": 3.0}))
    first = order[:20]
    assert sum(int(task.removeprefix("task-")) < 100 for task in first) == 15


def test_a_changed_weight_holds_from_the_next_request_on() -> None:
    weights: dict[str, float] = {}
    queue = FairQueue(Aging(60, 10), weights)
    for name, first in (("heavy", 0), ("light", 100)):
        for number in range(first, first + 29):
            queue.add(request(number, name), 1.0, 0.0)
    weights["heavy"] = 3.0
    queue.add(request(29, "heavy"), 1.0, 0.0)
    assert sum(int(task.removeprefix("task-")) < 100 for task in served(queue)[:20]) == 15


def test_idleness_earns_no_credit() -> None:
    queue = queue_of(*(request(number, "busy") for number in range(20)), request(100, "idle"))
    for _ in range(12):
        entry = queue.first(0.0)
        assert entry is not None
        queue.take(entry, 0.0, in_order=True)
    for number in range(101, 106):
        queue.add(request(number, "idle"), 1.0, 0.0)
    order = [int(task.removeprefix("task-")) >= 100 for task in served(queue)][:6]
    assert sum(order) == 3


def test_newcomers_however_many_do_not_stay_ahead_of_one_who_owes() -> None:
    queue = queue_of(request(0, "owes"), request(1, "other"))
    level = next(queue.levels())
    level.lanes["owes"].charge(5.0)
    order: list[str] = []
    while "owes" not in order:
        assert len(order) < 30
        queue.add(request(100 + len(order), f"new-{len(order)}"), 1.0, 0.0)
        entry = queue.first(0.0)
        assert entry is not None
        queue.take(entry, 0.0, in_order=True)
        order.append(entry.request.submitter)
    assert len(order) > 5


def test_a_newcomer_is_not_recompensed_for_what_was_used_before_it_came() -> None:
    queue = queue_of(*(request(number, "alone") for number in range(6)))
    next(queue.levels()).lanes["alone"].charge(50.0)
    for number in range(100, 106):
        queue.add(request(number, "newcomer"), 1.0, 0.0)
    assert sum(int(task.removeprefix("task-")) < 100 for task in served(queue)[:4]) == 2


def test_what_a_submitter_owes_is_not_forgotten_while_it_has_nothing_waiting() -> None:
    queue = queue_of(request(0, "stays"), request(1, "stays"), request(2, "owes"))
    level = next(queue.levels())
    entry = level.lanes["owes"].entries.first()
    assert entry is not None
    entry.lane.charge(50.0)
    queue.remove(entry)
    for number in range(100, 400):
        queue.remove(queue.add(request(number, f"passing-{number}"), 1.0, 0.0))
    assert queue.add(request(3, "owes"), 1.0, 0.0).lane is entry.lane
    assert served(queue) == ["task-0", "task-1", "task-3"]


def test_what_is_ahead_is_counted() -> None:
    queue = FairQueue(Aging(60, 10), {})
    queue.add(request(0, priority=0), 2.0, 0.0)
    queue.add(request(1, "bob"), 1.0, 0.0)
    queue.add(request(2, "bob"), 1.0, 0.0)
    first = queue.add(request(3), 1.0, 0.0)
    second = queue.add(request(4), 1.0, 0.0)
    queue.add(request(5, priority=2), 1.0, 0.0)
    shape = first.shape
    assert queue.ahead_of(first) == (2, {shape: 2})
    assert queue.ahead_of(second) == (4, {shape: 4})


def test_in_a_very_long_lane_the_position_is_a_good_guess() -> None:
    queue = FairQueue(Aging(60, 10), {})
    entries = [queue.add(request(number), 1.0, 0.0) for number in range(30_000)]
    for number in (0, 10_000, 29_999):
        ahead = queue.ahead_of(entries[number])
        assert abs(ahead.requests - number) < 300
        assert ahead.requests < 30_000
        assert abs(sum(ahead.shapes.values()) - number) < 300


def test_many_submitters_who_come_and_go_are_forgotten() -> None:
    queue = queue_of(request(0, "stays", deadline=None))
    level = next(queue.levels())
    for number in range(1, 2000):
        entry = queue.add(request(number, f"passing-{number}"), 1.0, 0.0)
        queue.remove(entry)
    assert len(level.lanes) < 100
    assert len(queue) == 1


class QueueMachine(RuleBasedStateMachine):
    """Adds, takes and removes at random; the first in order must be what sorting everything would put first."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue(Aging(inf, 10), {"b": 2.0})
        self.entries: list[Entry] = []
        self.number = 0

    @rule(
        submitter=st.sampled_from("abc"),
        priority=st.integers(0, 2),
        cpu=st.integers(1, 3),
        deadline=st.none() | st.integers(0, 5),
        cost=st.floats(0, 10),
    )
    def add(self, submitter: str, priority: int, cpu: int, deadline: float | None, cost: float) -> None:
        self.number += 1
        wanted = Request(f"task-{self.number}", submitter, priority, {"cpu": cpu}, 0.0, deadline)
        self.entries.append(self.queue.add(wanted, cost, 0.0))

    @rule()
    def take_first(self) -> None:
        entry = self.queue.first(0.0)
        if entry is not None:
            self.queue.take(entry, 0.0, in_order=True)
            self.entries.remove(entry)

    @rule(position=st.integers(0, 1000))
    def take_another(self, position: int) -> None:
        if self.entries:
            entry = self.entries.pop(position % len(self.entries))
            self.queue.take(entry, 0.0, in_order=False)

    @rule(position=st.integers(0, 1000))
    def remove(self, position: int) -> None:
        if self.entries:
            self.queue.remove(self.entries.pop(position % len(self.entries)))

    @rule(position=st.integers(0, 1000), cost=st.floats(0, 5))
    def settle(self, position: int, cost: float) -> None:
        if self.entries:
            self.entries[position % len(self.entries)].lane.charge(cost)

    @invariant()
    def the_first_is_first(self) -> None:
        def order(entry: Entry) -> tuple[int, float, int, tuple[float, float, int]]:
            return (entry.request.priority, entry.lane.tag, entry.lane.number, entry.due)

        assert self.queue.first(0.0) is min(self.entries, key=order, default=None)
        for level in self.queue.levels():
            for shape in level.shapes:
                alike = [e for e in self.entries if e.shape == shape and level.lanes.get(e.request.submitter) is e.lane]
                assert level.first_of(shape) is min(alike, key=order)
                assert level.count_of(shape) == len(alike)
        assert len(self.queue) == len(self.entries)
        assert sum(self.queue.by_amounts().values()) == len(self.entries)


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueueMachine = QueueMachine.TestCase
