import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.resources import shortfall
from app.resources.policy import (
    MOST_POSTPONEMENTS,
    Fit,
    Holding,
    Reservation,
    dominant_share,
    earliest_fit,
    expected_end,
    reserve,
    subtract,
)

amounts = st.fixed_dictionaries({"cpu": st.integers(0, 4000), "memory_mb": st.integers(0, 4000)})


def test_the_dominant_share_is_that_of_the_scarcest_unit() -> None:
    capacity = {"cpu": 4000, "memory_mb": 1000, "gpu": 0}
    assert dominant_share({"cpu": 1000, "memory_mb": 500}, capacity) == 0.5
    assert dominant_share({}, capacity) == 0
    assert dominant_share({"gpu": 0}, capacity) == 0


@pytest.mark.parametrize(
    ("now", "end"),
    [
        (101, 110),  # as its kind usually does
        (110, 120),  # it has outrun its kind: as long again as it ran
        (150, 160),  # but no longer than its time-out
        (200, 200),  # which it has reached, and is about to be stopped
    ],
)
def test_the_expected_end_of_a_running_task(now: float, end: float) -> None:
    assert expected_end(100, 10, 60, now) == end


def test_a_request_that_fits_fits_now() -> None:
    assert earliest_fit({"cpu": 500}, {"cpu": 800}, [Holding(9, {"cpu": 200})], 5) == Fit(5, {"cpu": 300})


def test_a_request_fits_when_enough_running_tasks_have_ended() -> None:
    holdings = [Holding(30, {"cpu": 1000}), Holding(10, {"cpu": 1000}), Holding(20, {"cpu": 1000, "gpu": 1000})]
    assert earliest_fit({"cpu": 2000}, {"cpu": 0}, holdings, 5) == Fit(20, {"cpu": 0, "gpu": 1000})


def test_a_request_larger_than_the_node_never_fits() -> None:
    with pytest.raises(ValueError, match="idle node"):
        earliest_fit({"cpu": 2001}, {"cpu": 1000}, [Holding(1, {"cpu": 1000})], 0)


@given(amounts, amounts, st.lists(st.tuples(st.floats(0, 100), amounts)))
def test_the_earliest_fit_is_the_earliest(
    request: dict[str, int], free: dict[str, int], running: list[tuple[float, dict[str, int]]]
) -> None:
    def free_at(time: float) -> dict[str, int]:
        ended = [held for ends_at, held in running if ends_at <= time]
        return {unit: free[unit] + sum(held[unit] for held in ended) for unit in free}

    times = sorted({10.0, *(max(ends_at, 10.0) for ends_at, _ in running)})
    first = next((time for time in times if not shortfall(request, free_at(time))), None)
    holdings = [Holding(ends_at, held) for ends_at, held in running]
    if first is None:
        with pytest.raises(ValueError, match="idle node"):
            earliest_fit(request, free, holdings, 10)
    else:
        assert earliest_fit(request, free, holdings, 10).at == first


def test_a_reservation_is_harmed_only_by_what_runs_past_it_and_takes_more_than_is_spare() -> None:
    reservation = Reservation("big", 100, {"cpu": 500}, 0)
    assert not reservation.harmed_by({"cpu": 4000}, 100)
    assert not reservation.harmed_by({"cpu": 500}, 101)
    assert reservation.harmed_by({"cpu": 501}, 101)
    assert reservation.harmed_by({"cpu": 1, "gpu": 1000}, 101)


def test_the_spare_is_used_up_by_what_runs_past_the_reservation() -> None:
    reservation = Reservation("big", 100, {"cpu": 500}, 0)
    assert reservation.after({"cpu": 300}, 100).spare == {"cpu": 500}
    assert reservation.after({"cpu": 300}, 101).spare == {"cpu": 200}


def test_a_promise_is_bettered_and_never_worsened_while_it_stands() -> None:
    first = reserve("big", Fit(100, {"cpu": 1}), 0)
    better = reserve("big", Fit(60, {"cpu": 2}), 10, first)
    assert (better.starts_at, better.spare) == (60, {"cpu": 2})
    assert reserve("big", Fit(90, {}), 20, better).starts_at == 60


def test_a_promise_that_did_not_come_true_is_made_anew_a_few_times_only() -> None:
    reservation = reserve("big", Fit(10, {}), 0)
    for number in range(MOST_POSTPONEMENTS):
        start = reservation.starts_at + 10
        reservation = reserve("big", Fit(start, {}), reservation.starts_at, reservation)
        assert reservation.starts_at == start
        assert reservation.postponed == number + 1
    last = reserve("big", Fit(1000, {}), 500, reservation)
    assert last.starts_at == reservation.starts_at
    assert last.harmed_by({"cpu": 1}, 501)


def test_another_head_gets_a_promise_of_its_own() -> None:
    first = reserve("big", Fit(100, {}), 0)
    assert reserve("other", Fit(200, {}), 10, first).starts_at == 200


def test_subtracting_stays_at_zero() -> None:
    assert subtract({"cpu": 5, "gpu": 1}, {"cpu": 7}) == {"cpu": 0, "gpu": 1}
