"""The protocol's error_rate: a ratio over the recent past, which a counter alone does not show."""

SLICE_S = 10
SLICES = 30
"""Five minutes in slices of ten seconds: the oldest slice is dropped as a whole."""


class ErrorRatio:
    """Errors among all that was counted in the last five minutes. Times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._totals = [0] * SLICES
        self._errors = [0] * SLICES
        self._newest = 0

    def count(self, now: float, *, is_error: bool) -> None:
        """One more, an error or not."""
        position = self._advance(now) % SLICES
        self._totals[position] += 1
        self._errors[position] += is_error

    def ratio(self, now: float) -> float:
        """Between 0 and 1; 0 where nothing was counted."""
        self._advance(now)
        total = sum(self._totals)
        return sum(self._errors) / total if total else 0.0

    def _advance(self, now: float) -> int:
        """Empties the slices that time has passed over; the number of the slice that is now."""
        current = int(now // SLICE_S)
        for passed in range(max(self._newest + 1, current - SLICES + 1), current + 1):
            self._totals[passed % SLICES] = 0
            self._errors[passed % SLICES] = 0
        self._newest = max(self._newest, current)
        return self._newest
