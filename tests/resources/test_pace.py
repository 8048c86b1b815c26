"""The pace of grants: intervals while others of the same size wait, and nothing else."""

from app.resources.pace import LEAST_SEEN, Pace

LARGE, SMALL = 0.75, 0.25


def granted_each_two_seconds(pace: Pace, share: float, count: int) -> None:
    for _ in range(count + 1):
        pace.waits(share)
    for number in range(count):
        pace.granted(share, 100.0 + 2.0 * number)


def test_it_is_told_once_enough_was_seen() -> None:
    pace = Pace()
    granted_each_two_seconds(pace, LARGE, LEAST_SEEN)
    assert pace.of(LARGE) is None
    pace.waits(LARGE)
    pace.granted(LARGE, 100.0 + 2.0 * LEAST_SEEN)
    found = pace.of(LARGE)
    assert found is not None
    assert (found.intervals.mean_s, found.last_at) == (2.0, 100.0 + 2.0 * LEAST_SEEN)


def test_sizes_have_a_pace_of_their_own() -> None:
    pace = Pace()
    granted_each_two_seconds(pace, LARGE, 20)
    assert pace.of(SMALL) is None
    assert pace.of(LARGE + 0.01) == pace.of(LARGE)


def test_a_time_in_which_none_waited_is_no_interval() -> None:
    pace = Pace()
    granted_each_two_seconds(pace, LARGE, 20)
    pace.withdrawn(LARGE)
    assert pace.of(LARGE) is None
    pace.waits(LARGE)
    pace.waits(LARGE)
    pace.granted(LARGE, 10_000.0)
    found = pace.of(LARGE)
    assert found is not None
    assert found.intervals.mean_s == 2.0
