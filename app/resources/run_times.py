"""How long tasks of each kind have run, and so how long the next one may be expected to."""

from dataclasses import dataclass, field

from app.resources.sample import Sample

FIRST_GUESS_S = 1.0
"""Seconds that a task is expected to run before any task has been seen to end."""


SLOWEST_GAIN = 1 / 16
"""The weight of the newest run time once many are known; before that each of them counts alike."""


@dataclass(slots=True)
class _Observed:
    mean_s: float
    deviation_s: float
    count: int = 1
    runs: Sample = field(default_factory=Sample)

    def add(self, seconds: float) -> None:
        self.runs.add(seconds)
        self.count += 1
        gain = max(1 / self.count, SLOWEST_GAIN)
        error = seconds - self.mean_s
        self.mean_s += error * gain
        self.deviation_s += (abs(error) - self.deviation_s) * gain


def _first(seconds: float) -> _Observed:
    first = _Observed(seconds, seconds / 2)
    first.runs.add(seconds)
    return first


class RunTimes:
    """Smoothed run times by kind of task, in seconds.

    Mean and mean deviation are smoothed much as RFC 6298 smooths round-trip times: of constant size, cheap, and soon
    following a kind whose tasks become slower.
    """

    def __init__(self) -> None:
        self._by_kind: dict[str, _Observed] = {}
        self._overall: _Observed | None = None

    def observe(self, kind: str, seconds: float) -> None:
        """A task of that kind has held its resources for so long."""
        seconds = max(seconds, 0.0)
        seen = self._by_kind.get(kind)
        if seen is None:
            self._by_kind[kind] = _first(seconds)
        else:
            seen.add(seconds)
        if self._overall is None:
            self._overall = _first(seconds)
        else:
            self._overall.add(seconds)

    def known(self, kind: str) -> bool:
        """Whether a task of that kind has been seen to end."""
        return kind in self._by_kind

    def means(self) -> dict[str, float]:
        """The mean of each kind that has been seen."""
        return {kind: seen.mean_s for kind, seen in self._by_kind.items()}

    def runs(self, kind: str) -> Sample | None:
        """The newest run times of the kind; of all kinds where this one has not been seen; None where none has."""
        seen = self._by_kind.get(kind) or self._overall
        return None if seen is None else seen.runs

    def of_all(self) -> Sample | None:
        """The newest run times of all kinds; None where no task has been seen to end."""
        return None if self._overall is None else self._overall.runs

    def expected(self, kind: str) -> float:
        """The mean of the kind; of all kinds where this one has not been seen."""
        seen = self._by_kind.get(kind) or self._overall
        return FIRST_GUESS_S if seen is None else seen.mean_s

    def cautious(self, kind: str, timeout_s: float) -> float:
        """A time that the kind rarely exceeds (mean and four deviations); the time-out where it has not been seen."""
        seen = self._by_kind.get(kind)
        return timeout_s if seen is None else min(seen.mean_s + 4 * seen.deviation_s, timeout_s)
