"""The generic cell rate algorithm: never more than the limit in any stretch of time, and no less than it says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.rates import Rate, Wish, draw, left, wait_s, whole_seconds

NOW = 1_790_000_000.0
MINUTE = Rate(60, 60)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("6000/minute", Rate(6000, 60)),
        (" 10/Second ", Rate(10, 1)),
        ("5/hour", Rate(5, 3600)),
        ("1/day", Rate(1, 86_400)),
    ],
)
def test_a_rate_as_it_is_written(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize(
    "text",
    ["", "0/minute", "-1/minute", "1.5/minute", "10", "10/", "10/week", "1e3/minute", "\u0661/minute", "100001/second"],
)
def test_a_rate_that_is_none_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(ValueError, match="off"):
        Rate.parse(text)


@pytest.mark.parametrize("limit", [1, 7, 60, 100, 6000])
def test_the_whole_limit_at_once_and_not_one_more(limit: int) -> None:
    rate, arrival = Rate(limit, 60), 0.0
    for _ in range(min(limit, 500)):
        drawn = draw(rate, arrival, NOW)
        assert drawn.granted
        arrival = NOW + drawn.debt_s
    rest = draw(rate, arrival, NOW, Wish(max(0, limit - 500)))
    assert rest.granted
    refused = draw(rate, NOW + rest.debt_s, NOW)
    assert not refused.granted
    assert refused.debt_s == rest.debt_s


def test_what_was_used_comes_back_one_by_one() -> None:
    arrival = NOW + draw(MINUTE, 0.0, NOW, Wish(60)).debt_s
    assert wait_s(MINUTE, arrival, NOW) == pytest.approx(1.0, abs=1e-3)
    assert wait_s(MINUTE, arrival, NOW, 10) == pytest.approx(10.0, abs=1e-3)
    assert [left(MINUTE, arrival, NOW + seconds) for seconds in (0, 1, 2, 60, 600)] == [0, 1, 2, 60, 60]


def test_all_that_is_wanted_or_nothing() -> None:
    arrival = NOW + draw(MINUTE, 0.0, NOW, Wish(55)).debt_s
    assert not draw(MINUTE, arrival, NOW, Wish(6)).granted
    assert draw(MINUTE, arrival, NOW, Wish(5)).granted
    assert not draw(MINUTE, 0.0, NOW, Wish(61)).granted


def test_others_in_line_get_what_there_is() -> None:
    assert draw(MINUTE, 0.0, NOW, Wish(1, more=99, ahead=50, hold_s=1.0))[:2] == (True, 59)


def test_what_is_held_counts_as_used_when_its_time_runs_out() -> None:
    drawn = draw(Rate(600, 60), 0.0, NOW, Wish(1, ahead=10, hold_s=1.0))
    assert drawn.beyond == 10
    assert drawn.debt_s == pytest.approx(1.0 + 10 * 0.1, abs=1e-3)


def test_retry_after_is_whole_and_never_zero() -> None:
    assert [whole_seconds(seconds) for seconds in (0.0, 0.2, 1.0, 1.01)] == [1, 1, 1, 2]


Step = tuple[float, Wish, float]
wishes = st.builds(Wish, st.integers(0, 5), st.integers(0, 5), st.integers(0, 20), st.just(1.0))
steps = st.lists(st.tuples(st.floats(0, 3), wishes, st.floats(0, 1)), max_size=60)


@given(steps, st.integers(1, 40), st.integers(1, 20))
def test_no_stretch_of_time_sees_more_than_the_limit_whenever_what_is_held_is_used(
    taken: list[Step], limit: int, window_s: int
) -> None:
    """`late` is when, after the draw, what was drawn ahead is used: at any time up to the end of its hold."""
    rate, now, arrival = Rate(limit, window_s), NOW, 0.0
    uses: list[float] = []
    for pause, wish, late in taken:
        now += pause
        drawn = draw(rate, arrival, now, wish)
        arrival = now + drawn.debt_s
        if drawn.granted:
            at_once = wish.wanted + min(drawn.beyond, wish.more)
            uses += [now] * at_once + [now + late] * max(0, drawn.beyond - wish.more)
    uses.sort()
    for first in range(len(uses)):
        for last in range(first, len(uses)):
            most = limit + (uses[last] - uses[first]) / rate.interval_s
            assert last - first + 1 <= math.floor(most + 1e-3) + 1
