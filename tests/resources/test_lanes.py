from app.resources.lanes import Entries, Entry, Lane, LaneOrder, shape_of
from app.resources.request import Request


def entry_due(number: int, lane: Lane, deadline: float = 0.0) -> Entry:
    request = Request(f"task-{number}", "alice", 1, {"cpu": 1}, 0.0)
    return Entry(request, (deadline, 0.0, number), shape_of(request), 1.0, lane)


def test_the_shape_does_not_depend_on_the_order_of_units() -> None:
    one = Request("a", "alice", 1, {"cpu": 1, "gpu": 1000}, 0.0, kind="k")
    other = Request("b", "bob", 5, {"gpu": 1000, "cpu": 1}, 9.0, kind="k")
    assert shape_of(one) == shape_of(other) == ("k", (("cpu", 1), ("gpu", 1000)))


def test_entries_that_left_are_passed_over_and_not_kept() -> None:
    lane, entries = Lane(1, 1.0), Entries()
    added = [entry_due(number, lane) for number in range(1_000)]
    for entry in added:
        entries.add(entry)
    for entry in added[:-1]:
        entry.waiting = False
        entries.removed()
    assert entries.first() is added[-1]
    assert entries.waiting == 1
    assert len(entries._heap) <= 18
    added[-1].waiting = False
    entries.removed()
    assert entries.first() is None


def test_lanes_come_by_their_tags_as_they_are_now() -> None:
    lanes = [Lane(number, 1.0) for number in range(3)]
    idle: set[Lane] = set()
    order = LaneOrder(lambda lane: lane not in idle)
    for lane in lanes:
        order.add(lane)
    assert order.first() is lanes[0]
    lanes[0].charge(2.0)
    lanes[1].charge(1.0)
    assert order.first() is lanes[2]
    idle.add(lanes[2])
    assert order.first() is lanes[1]
    lanes[1].charge(5.0)
    assert order.first() is lanes[0]
    idle.clear()
    order.add(lanes[2])
    assert order.first() is lanes[2]


def test_a_lane_is_counted_up_to_a_tag() -> None:
    lane = Lane(1, weight=2.0, tag=10.0, cost=8.0)
    for number in range(4):
        lane.entries.add(entry_due(number, lane))
    assert lane.ahead_of(9.0) == 0
    assert lane.ahead_of(10.0) == 1
    assert lane.ahead_of(12.5) == 3
    assert lane.ahead_of(100.0) == 4
