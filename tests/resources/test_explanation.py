from app.resources.estimate import Estimate
from app.resources.explanation import HOLDERS_NAMED, Standing, explain


def test_a_task_that_waits_for_what_others_hold() -> None:
    standing = Standing({"cpu": 500, "custom.licence": 1000}, False, 4, ["a", "b"], 3, Estimate(0.0, 0.25, 1.5))
    assert explain(standing) == {
        "reason": "insufficient",
        "missing": {"cpu": 0.5, "custom": {"licence": 1}},
        "position": 4,
        "held_by": ["a", "b"],
        "held_by_others": 3,
        "expected_start": "1970-01-01T00:00:00.250000Z",
        "expected_start_range": ["1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:01.500000Z"],
    }


def test_a_task_that_only_waits_for_its_turn() -> None:
    assert explain(Standing({}, position=2))["reason"] == "queued"


def test_a_task_that_asks_for_more_than_there_is() -> None:
    assert explain(Standing({"gpu": 1000}, never=True))["reason"] == "capacity"


def test_not_all_of_a_thousand_holders_are_named() -> None:
    holders = [str(number) for number in range(1_000)]
    assert explain(Standing({"cpu": 1}, held_by=holders))["held_by"] == holders[:HOLDERS_NAMED]
