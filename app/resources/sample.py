"""The newest of what was seen again and again, one by one: for what a mean does not tell."""

from bisect import bisect, bisect_left, insort
from collections import deque
from statistics import variance

REMEMBERED = 64
"""How many are kept."""

IN_A_ROW = 8


class Sample:
    """The newest of what was seen of one sort, in seconds: what the next one may come to."""

    def __init__(self) -> None:
        self._newest: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """Another was seen."""
        if len(self._newest) == REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self._newest.popleft())]
        self._newest.append(seconds)
        insort(self._sorted, seconds)

    @property
    def count(self) -> int:
        """How many are known."""
        return len(self._newest)

    @property
    def mean_s(self) -> float:
        """Their mean."""
        return sum(self._sorted) / len(self._sorted)

    @property
    def variance(self) -> float:
        """How far they spread, in seconds squared. A single one is taken to be off by half of itself."""
        mean = self.mean_s
        return (sum((seconds - mean) ** 2 for seconds in self._sorted) + mean * mean / 4) / len(self._sorted)

    @property
    def variance_of_each(self) -> float:
        """How much each adds to the variance of a sum of many in a row, in seconds squared.

        By the sums of eight in a row: what comes in bursts differs from one to the next and is even in sum.
        """
        row = list(self._newest)
        sums = [sum(row[first : first + IN_A_ROW]) for first in range(0, len(row) - IN_A_ROW + 1, IN_A_ROW)]
        return variance(sums) / IN_A_ROW if len(sums) > 1 else self.variance

    def after(self, elapsed_s: float) -> list[float]:
        """Those that were longer than so much, in order of length: what one that has run so long may come to."""
        return self._sorted[bisect(self._sorted, elapsed_s) :]
