"""`python -m tests.resources.report`: how fair the service is in simulated time, situation by situation, as a table."""

import statistics
from random import Random

from rich.console import Console
from rich.table import Table

from tests.resources.scenarios import SEEDS, SITUATIONS


def main() -> None:
    console = Console(width=120)
    table = Table("situation", "submitters", "tasks waiting", "seeds", "worst", "mean", "bound")
    for situation in SITUATIONS:
        found = [situation.measure(Random(seed)) for seed in SEEDS]
        figures = (max(found), statistics.mean(found), situation.bound)
        counts = (f"{situation.submitters:,}", f"{situation.waiting:,}", f"{SEEDS[0]} to {SEEDS[-1]}")
        table.add_row(situation.name, *counts, *(f"{figure:.3g} {situation.unit}" for figure in figures))
    console.print(table)


if __name__ == "__main__":
    main()
