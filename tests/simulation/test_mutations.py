"""The simulation's own test: a guarantee that is taken away is missed within a thousand seeds."""

import pytest

from tests.simulation import mutations
from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.world import World

WITHIN_SEEDS = 1_000

BEGIN_WITH: dict[Mutation, int] = {mutations.refused_holder_goes_on: 340}
"""Where the search begins, for one that shows in few seeds only. Behind the last seed it goes on with the first."""


def seeds_until_noticed(mutation: Mutation, invariant: str) -> int | None:
    """The first seed whose run shows a violation of the invariant."""
    begin = BEGIN_WITH.get(mutation, 0)
    seeds: list[int] = [*range(begin, WITHIN_SEEDS), *range(begin)]
    for seed in seeds:
        with mutation() as laws:
            found = World(seed, laws).run().violations
        if any(violation.startswith(invariant) for violation in found):
            return seed
    return None


@pytest.mark.parametrize(("mutation", "invariant"), MUTATIONS.items(), ids=lambda each: getattr(each, "__name__", each))
def test_a_mutation_is_noticed(mutation: Mutation, invariant: str) -> None:
    assert seeds_until_noticed(mutation, invariant) is not None
