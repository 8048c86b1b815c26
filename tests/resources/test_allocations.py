import pytest

from app.resources.allocations import Allocations
from app.resources.lanes import Lane
from app.resources.policy import Holding
from app.resources.pool import NotAllocated, NotEnough
from app.resources.request import Request


def request(task_id: str, cpu: int, kind: str = "usual", timeout_s: float = 60.0) -> Request:
    return Request(task_id, "alice", 1, {"cpu": cpu}, 0.0, None, kind, timeout_s)


def test_all_fit_only_together() -> None:
    allocations = Allocations({"cpu": 4000})
    assert allocations.all_fit({"a": request("a", 2000), "b": request("b", 2000)})
    assert not allocations.all_fit({"a": request("a", 2000), "b": request("b", 2001)})


def test_a_grant_that_does_not_fit_leaves_nothing_behind() -> None:
    allocations = Allocations({"cpu": 1000})
    with pytest.raises(NotEnough):
        allocations.grant(request("a", 2000), 0.0, None, 0.0)
    assert "a" not in allocations
    with pytest.raises(NotAllocated):
        allocations.release("a", 1.0, ran_to_end=True)


def test_the_cost_is_the_share_times_the_usual_run_time() -> None:
    allocations = Allocations({"cpu": 4000})
    allocations.grant(request("a", 1000), 0.0, None, 0.0)
    allocations.release("a", 8.0, ran_to_end=True)
    assert allocations.cost_of(request("b", 2000)) == 4.0


@pytest.mark.parametrize(("ran_s", "tag"), [(1.0, 5.0), (40.0, 10.0)])
def test_a_lane_pays_the_rest_for_a_task_that_took_longer_and_gets_nothing_back(ran_s: float, tag: float) -> None:
    allocations = Allocations({"cpu": 4000})
    lane = Lane(1, weight=1.0, tag=5.0)
    allocations.grant(request("a", 1000), 100.0, lane, 5.0)
    allocations.release("a", 100.0 + ran_s, ran_to_end=True)
    assert lane.tag == tag


def test_what_is_held_and_until_when() -> None:
    allocations = Allocations({"cpu": 4000, "gpu": 1000})
    allocations.learnt.times.observe("usual", 10.0)
    allocations.learnt.times.observe("brief", 2.0)
    allocations.grant(request("a", 1000), 0.0, None, 0.0)
    allocations.grant(request("b", 2000, "brief"), 1.0, None, 0.0)
    assert allocations.holdings(2.0) == [Holding(10.0, {"cpu": 1000}), Holding(3.0, {"cpu": 2000})]
    assert [holder.request.task_id for holder in allocations.holders_of({"cpu": 1}, 2.0)] == ["b", "a"]
    assert allocations.holders_of({"gpu": 1}, 2.0) == []
    assert allocations.ends_surely_at(request("c", 1, "never seen", 60.0), 2.0) == 62.0
