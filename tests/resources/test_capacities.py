"""What each node has: what can be granted where, and which node comes nearest to what cannot."""

from app.resources.capacities import Capacities

SMALL, LARGE = {"cpu": 1000}, {"cpu": 8000, "gpu": 1000}


def test_alone_nothing_is_for_others() -> None:
    capacities = Capacities("one", SMALL)
    assert capacities.alone
    assert not capacities.only_elsewhere({"cpu": 8000})
    assert capacities.nearest({"cpu": 8000}).node_id == "one"


def test_what_only_another_could_grant_is_for_others() -> None:
    capacities = Capacities("one", SMALL)
    assert capacities.others_have({"two": LARGE})
    assert not capacities.others_have({"two": LARGE}), "that was known"
    assert not capacities.alone
    assert capacities.only_elsewhere({"cpu": 8000})
    assert not capacities.only_elsewhere({"cpu": 1000}), "it can be granted here"
    assert not capacities.only_elsewhere({"cpu": 9000}), "it can be granted nowhere"
    assert capacities.others_have({})
    assert not capacities.only_elsewhere({"cpu": 8000}), "the other has gone"


def test_the_nearest_could_grant_it_or_lacks_least() -> None:
    capacities = Capacities("one", SMALL)
    capacities.others_have({"two": LARGE, "three": {"cpu": 4000, "memory_mb": 1000}})
    assert capacities.nearest({"cpu": 1000}).node_id == "one", "this node before others"
    assert capacities.nearest({"cpu": 5000}).node_id == "two"
    assert capacities.nearest({"cpu": 9000}).node_id == "two"
    assert capacities.nearest({"cpu": 9000, "memory_mb": 1000}).node_id == "three", "one unit is too small, not two"
