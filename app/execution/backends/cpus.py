"""Which CPUs an attempt runs on."""

import math
from collections.abc import Iterable


class CpuSpread:
    """Hands out CPUs so that attempts share as few of them as possible."""

    def __init__(self, cpus: Iterable[int]) -> None:
        self._load = dict.fromkeys(sorted(cpus), 0.0)

    def take(self, cpu: float) -> list[int] | None:
        """The least loaded CPUs for a grant of so many cores, a fraction taking a whole one; None for a grant of 0."""
        if cpu <= 0:
            return None
        wanted = min(math.ceil(cpu), len(self._load))
        chosen = sorted(self._load, key=self._load.__getitem__)[:wanted]
        for number in chosen:
            self._load[number] += cpu / wanted
        return chosen

    def release(self, cpu: float, chosen: list[int] | None) -> None:
        """Gives back what `take` returned for the same grant."""
        for number in chosen or ():
            # Rounded, so that sums of fractions do not drift away from zero.
            self._load[number] = round(self._load[number] - cpu / len(chosen or ()), 9)
