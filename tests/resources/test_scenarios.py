"""From the database to the start in simulated time: floods, blocked requests, deadlines, shares, several nodes."""

from random import Random

import pytest

from tests.resources.scenarios import SITUATIONS, Situation


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.measure.__name__)
def test_nobody_waits_longer_than_the_bound(situation: Situation) -> None:
    assert situation.measure(Random(7)) <= situation.bound
