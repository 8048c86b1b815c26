from app.resources.aging import Aging


def served_in_order(aging: Aging, priority: int, times: int, now: float) -> None:
    for _ in range(times):
        assert aging.turn(now) is None
        aging.served(priority, now)


def test_no_turn_before_a_priority_has_waited_long_enough() -> None:
    aging = Aging(60, 5)
    aging.join(1, 0)
    aging.join(9, 0)
    served_in_order(aging, 1, 100, 59.9)


def test_one_grant_in_five_goes_to_the_priority_passed_over() -> None:
    aging = Aging(60, 5)
    aging.join(1, 0)
    aging.join(9, 0)
    aging.served(1, 60)
    for _ in range(3):
        served_in_order(aging, 1, 3, 60)
        aging.served(1, 60)
        assert aging.turn(60) == 9
        aging.turn_taken(9)
        aging.served(1, 60)


def test_priorities_passed_over_take_turns() -> None:
    aging = Aging(60, 1)
    for priority in (1, 8, 9):
        aging.join(priority, 0)
    aging.served(1, 50)
    turns = []
    for _ in range(4):
        turn = aging.turn(70)
        assert turn is not None
        turns.append(turn)
        aging.turn_taken(turn)
    assert turns == [8, 9, 8, 9]


def test_a_priority_served_in_the_ordinary_way_starts_to_wait_anew() -> None:
    aging = Aging(60, 1)
    aging.join(9, 0)
    assert aging.turn(60) == 9
    aging.served(9, 60)
    assert aging.turn(119) is None
    assert aging.turn(120) == 9


def test_a_priority_that_nobody_waits_in_has_no_turn() -> None:
    aging = Aging(60, 1)
    aging.join(8, 0)
    aging.join(9, 0)
    assert aging.turn(60) == 8
    aging.leave(8, 0.0)
    assert aging.turn(60) == 9
    aging.leave(9, 0.0)
    assert aging.turn(60) is None
