"""`python -m tests.resources.report`: how fair the service is in simulated time, situation by situation, as a table."""

import statistics
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from random import Random

from rich.console import Console
from rich.table import Table

from tests.resources.scenarios import SEEDS, SITUATIONS


def measured(place: int, seed: int) -> float:
    """What one situation shows for one seed, in a process of its own."""
    return SITUATIONS[place].measure(Random(seed))


def main() -> None:
    console = Console(width=120)
    caption = "Small tasks take 0.5 to 1.5 s: a second is a task's length."
    table = Table("situation", "submitters", "tasks waiting", "seeds", "worst", "mean", "bound", caption=caption)
    with ProcessPoolExecutor() as processes:
        # The longest one stands near the end: begun first, it does not run alone at last.
        runs = sorted(product(range(len(SITUATIONS)), SEEDS), reverse=True)
        found = dict(zip(runs, processes.map(measured, *zip(*runs, strict=True)), strict=True))
    for place, situation in enumerate(SITUATIONS):
        values = [found[place, seed] for seed in SEEDS]
        figures = (max(values), statistics.mean(values), situation.bound)
        counts = (f"{situation.submitters:,}", f"{situation.waiting:,}", f"{SEEDS[0]} to {SEEDS[-1]}")
        table.add_row(situation.name, *counts, *(f"{figure:.3g} {situation.unit}".strip() for figure in figures))
    console.print(table)


if __name__ == "__main__":
    main()
