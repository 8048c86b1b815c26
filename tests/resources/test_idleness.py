"""What is left idle in front of requests: as the manager tells it, and as it is remembered."""

import pytest

from app.resources.idleness import Idleness
from app.resources.manager import ResourceManager
from app.resources.request import Request


def node(**held: int) -> ResourceManager:
    """A node of four cores, of which each of these tasks holds so many thousandths."""
    manager = ResourceManager({"cpu": 4000, "custom.licence": 1000})
    for name, cpu in held.items():
        manager.request(request(name, cpu))
    assert len(manager.decide(0.0)) == len(held)
    return manager


def request(task_id: str, cpu: int, licences: int = 0) -> Request:
    return Request(task_id, "alice", 1, {"cpu": cpu, "custom.licence": licences * 1000}, 0.0)


def test_what_is_free_while_the_first_does_not_fit_was_left_idle_in_front_of_it() -> None:
    manager = node(a=1000, b=1000)
    manager.request(request("whole", 4000))
    assert manager.decide(10.0) == []
    manager.release("a", 12.0)
    assert manager.decide(12.0) == []
    manager.release("b", 16.0)
    assert [grant.task_id for grant in manager.decide(16.0)] == ["whole"]
    seen = manager.learnt.idleness.before(1.0)
    assert seen is not None
    assert (seen.count, seen.mean_s) == (1, 2 * 0.5 + 4 * 0.75)
    assert manager.learnt.idleness.before(0.5) is None


def test_nothing_was_left_idle_while_nothing_waited() -> None:
    manager = node(a=1000)
    manager.request(request("whole", 4000))
    assert manager.decide(1.0) == []
    manager.withdraw("whole")
    manager.release("a", 100.0)
    manager.request(request("b", 4000))
    assert len(manager.decide(100.0)) == 1
    manager.request(request("c", 4000))
    assert manager.decide(100.0) == []
    manager.release("b", 103.0)
    assert len(manager.decide(103.0)) == 1
    seen = manager.learnt.idleness.before(1.0)
    assert seen is not None
    assert seen.mean_s == 0.0


def test_more_than_all_is_used_where_requests_for_unlike_units_run_side_by_side() -> None:
    idleness = Idleness()
    idleness.left(0.25, held=1.75)
    idleness.passed(4.0)
    idleness.granted(0.25)
    seen = idleness.before(0.25)
    assert seen is not None
    assert seen.mean_s == -3.0


def test_each_size_has_what_was_left_idle_in_front_of_it_whoever_is_first_next() -> None:
    idleness = Idleness()
    for share, until in ((0.5, 1.0), (1.0, 3.0), (0.5, 4.0)):
        idleness.left(share, held=0.0)
        idleness.passed(until)
    idleness.granted(0.5)
    idleness.granted(1.0)
    means = [seen.mean_s for share in (0.5, 1.0) if (seen := idleness.before(share))]
    assert means == pytest.approx([2.0, 2.0])


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    idleness = Idleness()
    idleness.left(1.0, held=0.0)
    idleness.passed(10.0)
    idleness.passed(5.0)
    idleness.granted(1.0)
    seen = idleness.before(1.0)
    assert seen is not None
    assert seen.mean_s == 10.0
