"""A look that has become slow is made less often, and often enough."""

import pytest

from app.storage.sparing import pause_s


@pytest.mark.parametrize(
    ("usual_s", "took_s", "pause"), [(1, 0.001, 1), (1, 0.05, 1), (1, 0.2, 4), (1, 3, 10), (60, 3, 60)]
)
def test_the_pause_after_a_look(usual_s: float, took_s: float, pause: float) -> None:
    assert pause_s(usual_s, took_s) == pytest.approx(pause)
