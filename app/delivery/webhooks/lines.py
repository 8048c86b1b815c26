"""To whom something may be sent now: places for each sink, host and submitter, and a circuit for each sink.

A sink that is slow fills its own few places and nobody else's; one that fails time and again is left alone for a
while, then tried with one message. A sink is named by its origin and its submitter, so that one submitter's broken
address at a shared host is not held against the others.
"""

from collections import Counter
from dataclasses import dataclass

from app.protocol.backoff import backoff_s
from app.protocol.callbacks import origin_of, submitter_of

OPENS_AFTER = 5
"""Failures in a row."""
REST_INITIAL_S, REST_MAX_S = 2.0, 60.0
MAX_CIRCUITS = 10_000
"""Failing sinks that are known of; the one that has failed longest is forgotten first, and tried again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Messages under way at once, from this node."""

    in_all: int = 64
    per_submitter: int = 24
    per_host: int = 8
    per_sink: int = 4


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    rests_until: float = 0.0

    @property
    def is_open(self) -> bool:
        return self.failures >= OPENS_AFTER


class Lines:
    """See the module's docstring. `now` is any monotonic clock's, in seconds."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._taken: Counter[tuple[str, str]] = Counter()
        self._in_all = 0
        # Only sinks that have failed last: the others leave no trace. In the order in which they began to fail.
        self._circuits: dict[str, _Circuit] = {}

    def take(self, sink: str, now: float) -> bool:
        """Takes a place for one message, to be released; False where there is none now."""
        circuit = self._circuits.get(sink)
        if circuit is not None and circuit.is_open and (now < circuit.rests_until or self._taken["sink", sink]):
            return False
        if self._in_all >= self._limits.in_all or not all(
            self._taken[key] < limit for key, limit in self._places(sink)
        ):
            return False
        self._in_all += 1
        for key, _ in self._places(sink):
            self._taken[key] += 1
        return True

    def release(self, sink: str) -> None:
        """Gives the place back."""
        self._in_all -= 1
        for key, _ in self._places(sink):
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]

    def ended(self, sink: str, now: float, draw: float, *, alive: bool) -> None:
        """An attempt has ended; `draw` is random in [0, 1)."""
        if alive:
            self._circuits.pop(sink, None)
            return
        circuit = self._circuits.setdefault(sink, _Circuit())
        circuit.failures += 1
        if len(self._circuits) > MAX_CIRCUITS:
            del self._circuits[next(iter(self._circuits))]
        if circuit.is_open:
            rest_s = backoff_s(circuit.failures - OPENS_AFTER + 1, REST_INITIAL_S, REST_MAX_S, 0.5 + draw / 2)
            circuit.rests_until = now + rest_s

    @property
    def under_way(self) -> int:
        """Messages under way."""
        return self._in_all

    @property
    def open_circuits(self) -> int:
        """Sinks that are left alone."""
        return sum(circuit.is_open for circuit in self._circuits.values())

    def _places(self, sink: str) -> list[tuple[tuple[str, str], int]]:
        limits = self._limits
        return [
            (("sink", sink), limits.per_sink),
            (("host", origin_of(sink).partition("://")[2]), limits.per_host),
            (("submitter", submitter_of(sink)), limits.per_submitter),
        ]
