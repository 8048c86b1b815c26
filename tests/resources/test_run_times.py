import pytest

from app.resources.run_times import FIRST_GUESS_S, RunTimes


def test_before_anything_is_known_there_is_a_first_guess() -> None:
    times = RunTimes()
    assert times.expected("a") == FIRST_GUESS_S
    assert times.cautious("a", 900) == 900
    assert not times.known("a")


def test_an_unknown_kind_is_expected_to_run_as_long_as_the_others() -> None:
    times = RunTimes()
    times.observe("a", 8)
    assert times.known("a")
    assert times.expected("b") == 8
    assert times.cautious("b", 900) == 900


def test_the_mean_follows_a_kind_that_becomes_slower() -> None:
    times = RunTimes()
    for _ in range(10):
        times.observe("a", 1)
    for _ in range(60):
        times.observe("a", 10)
    assert times.expected("a") == pytest.approx(10, rel=0.05)


def test_caution_grows_with_how_much_run_times_differ_and_ends_at_the_time_out() -> None:
    steady, varied = RunTimes(), RunTimes()
    for number in range(100):
        steady.observe("a", 2)
        varied.observe("a", 1 + number % 2 * 2)
    assert steady.cautious("a", 900) == pytest.approx(2, abs=0.01)
    assert varied.cautious("a", 900) > 3
    assert varied.cautious("a", 2.5) == 2.5


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    times = RunTimes()
    times.observe("a", -5)
    assert times.expected("a") == 0
