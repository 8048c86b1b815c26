import pytest

from app.resources import backfill
from app.resources.aging import Aging
from app.resources.allocations import Allocations
from app.resources.backfill import Backfill
from app.resources.lanes import Entry
from app.resources.queue import FairQueue
from app.resources.request import Request


class Node:
    """Four cores with a queue, put together by hand so that the head can be blocked at will."""

    def __init__(self) -> None:
        self.allocations = Allocations({"cpu": 4000, "memory_mb": 4000})
        self.queue = FairQueue(Aging(60, 10), {})
        self.backfill = Backfill(self.allocations, self.queue)
        for kind, seconds in (("short", 5.0), ("long", 100.0)):
            for _ in range(50):
                self.allocations.learnt.times.observe(kind, seconds)

    def running(self, task_id: str, cpu: int, kind: str, since: float = 0.0) -> None:
        self.allocations.grant(Request(task_id, "x", 1, {"cpu": cpu}, 0.0, None, kind), since, None, 0.0)

    def waiting(self, task_id: str, cpu: int, kind: str, priority: int = 1, submitter: str = "alice") -> Entry:
        request = Request(task_id, submitter, priority, {"cpu": cpu}, 0.0, None, kind)
        return self.queue.add(request, 1.0, 0.0)

    def pass_head(self, head: Entry, now: float) -> str | None:
        entry = self.backfill.next(head, now)
        if entry is None:
            return None
        self.allocations.grant(entry.request, now, entry.lane, entry.cost)
        self.queue.take(entry, now, in_order=False)
        return entry.request.task_id


def test_what_ends_before_the_heads_turn_may_pass_until_it_would_not() -> None:
    node = Node()
    node.running("running", 1000, "long")
    head = node.waiting("head", 4000, "long")
    for number in range(3):
        node.waiting(f"short-{number}", 1000, "short")
    assert node.pass_head(head, 10.0) == "short-0"
    assert node.pass_head(head, 94.0) == "short-1"
    assert node.pass_head(head, 96.0) is None


def test_what_runs_past_the_heads_turn_may_only_use_what_is_spare() -> None:
    node = Node()
    node.running("running", 2000, "long")
    head = node.waiting("head", 3000, "long")
    for number in range(2):
        node.waiting(f"long-{number}", 1000, "long")
    assert node.pass_head(head, 50.0) == "long-0"
    assert node.pass_head(head, 50.0) is None


def test_the_most_urgent_passes_first_and_in_one_priority_the_least_served() -> None:
    node = Node()
    node.running("running", 1000, "long")
    head = node.waiting("head", 4000, "long", priority=0)
    node.waiting("less urgent", 1000, "short", priority=2)
    served = node.waiting("served", 1000, "short", submitter="bob")
    node.waiting("not served", 900, "short", submitter="carol")
    served.lane.charge(1.0)
    assert [node.pass_head(head, 1.0) for _ in range(3)] == ["not served", "served", "less urgent"]


def test_a_task_that_ended_early_betters_the_reservation() -> None:
    node = Node()
    node.running("long", 1000, "long")
    head = node.waiting("head", 4000, "long")
    node.waiting("first", 1000, "short")
    node.waiting("second", 1000, "short")
    assert node.pass_head(head, 1.0) == "first"
    node.allocations.release("first", 6.0, ran_to_end=True)
    node.running("ends at 17", 1000, "short", since=12.0)
    node.allocations.release("long", 13.0, ran_to_end=False)
    assert node.pass_head(head, 13.0) is None


def test_a_grant_in_order_makes_the_reservation_anew() -> None:
    node = Node()
    node.running("running", 1000, "long")
    head = node.waiting("head", 3500, "long")
    node.waiting("half", 500, "long")
    node.waiting("tiny", 100, "short", priority=0)
    assert node.pass_head(head, 1.0) == "tiny"
    node.running("urgent", 500, "long", since=1.0)
    node.backfill.granted_in_order()
    assert node.pass_head(head, 1.0) is None


def test_a_search_gives_up_after_so_many_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "SHAPES_LOOKED_AT", 5)
    node = Node()
    node.running("running", 3500, "long")
    head = node.waiting("head", 4000, "long", priority=0)
    for number in range(5):
        node.waiting(f"too large {number}", 600 + number, "short")
    node.waiting("not looked at", 400, "short", priority=2)
    assert node.pass_head(head, 1.0) is None
    monkeypatch.setattr(backfill, "SHAPES_LOOKED_AT", 7)
    assert node.pass_head(head, 1.0) == "not looked at"
