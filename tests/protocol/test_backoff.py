"""The wait between attempts: exponential, with full jitter, bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.backoff import backoff_s


@pytest.mark.parametrize(("failures", "ceiling"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (10_000, 60)])
def test_the_ceiling_doubles_to_its_limit(failures: int, ceiling: float) -> None:
    assert backoff_s(failures, 1, 60, 0.5) == ceiling / 2
    assert backoff_s(failures, 1, 60, 0.0) == 0


@given(
    st.integers(1, 10**9),
    st.floats(0, 86_400),
    st.floats(0, 86_400),
    st.floats(0, 1, exclude_max=True),
)
def test_it_stays_within_its_bounds(failures: int, initial_s: float, max_s: float, draw: float) -> None:
    assert 0 <= backoff_s(failures, initial_s, max_s, draw) <= max_s
