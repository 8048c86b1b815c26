import pytest

from app.delivery.webhooks.verdict import ACTIVE, DEAD, ENDED, Answered, Schedule, decide, outcome_of

SCHEDULE = Schedule(initial_s=5, max_s=100, give_up_s=1000)


def of(status: int, retry_after: float | None = None) -> Answered:
    return Answered(outcome_of(status), status, retry_after)


@pytest.mark.parametrize(
    ("status", "accepted", "alive"),
    [
        (200, True, True),
        (204, True, True),
        (301, False, True),
        (404, False, True),
        (429, False, False),
        (500, False, False),
    ],
)
def test_what_an_answer_says_of_its_receiver(status: int, accepted: bool, alive: bool) -> None:
    assert (of(status).is_accepted, of(status).is_alive) == (accepted, alive)


def test_no_answer_says_that_nobody_is_there() -> None:
    assert not Answered("timeout").is_alive
    assert not Answered("timeout").is_accepted


def test_attempts_come_ever_later_at_random_up_to_a_limit() -> None:
    ceilings = [decide(of(500), failures, 0, SCHEDULE, 0.999_999).delay_s for failures in range(8)]
    assert [round(ceiling) for ceiling in ceilings] == [5, 10, 20, 40, 80, 100, 100, 100]
    assert decide(of(500), 3, 0, SCHEDULE, 0.25).delay_s == 10
    assert decide(of(500), 3, 0, SCHEDULE, 0).delay_s == 0


def test_retry_after_is_the_least_and_a_day_the_most_that_it_asks_for() -> None:
    assert decide(of(503, 60), 0, 0, SCHEDULE, 0.5).delay_s == 60
    assert decide(of(503, 1), 5, 0, SCHEDULE, 0.5).delay_s == 50
    assert decide(of(503, 1e9), 0, 0, SCHEDULE, 0.5).delay_s == 86_400
    assert decide(of(200, 60), 0, 0, SCHEDULE, 0.5).delay_s == 2.5


def test_ends() -> None:
    assert decide(of(410), 0, 0, SCHEDULE, 0.5).state == ENDED
    assert decide(of(500), 0, 999, SCHEDULE, 0.5).state == ACTIVE
    assert decide(of(500), 0, 1000, SCHEDULE, 0.5).state == DEAD
    assert decide(Answered("timeout"), 0, 1000, SCHEDULE, 0.5).state == DEAD
    assert decide(of(200), 0, 1000, SCHEDULE, 0.5).state == ACTIVE
