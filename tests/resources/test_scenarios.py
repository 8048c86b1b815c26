"""From the database to the start in simulated time: floods, blocked requests, deadlines, shares, several nodes."""

from random import Random

import pytest

from tests.resources.scenarios import SITUATIONS, Situation, shares_of_many

LONG = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(each, marks=LONG if each.measure is shares_of_many else (), id=each.measure.__name__)
        for each in SITUATIONS
    ],
)
def test_nobody_waits_longer_than_the_bound(situation: Situation) -> None:
    assert situation.measure(Random(7)) <= situation.bound
