"""What a long run came to, in lines for people: they go into docs/reliability.md."""

from collections.abc import Sequence

from tests.faults.evidence import Evidence
from tests.faults.load import Load


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of all, 0..1, does not exceed; 0 where there are none."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def report(title: str, load: Load, found: Sequence[str], **more: object) -> str:
    """The lines. `more` are figures of this run alone."""
    seen, took = load.seen, load.latencies_s
    unanswered = sum(number for tries, number in load.tries.items() if tries > 1)
    lines = [
        title,
        f"  accepted {len(seen.accepted)}, lost {len(seen.accepted - seen.rows.keys())}, failed {len(load.failed)}",
        f"  accepted at the first try {load.tries[1]}, repeated by the client {unanswered}, held back {load.held_back}",
        f"  submission {_spread(took)} (with the client's own retries)",
        f"  tasks stored {len(seen.rows)}: {_states(seen)}",
        f"  orphans {len(seen.pickups)}: next attempt after {_spread(seen.pickups)}",
        f"  runs {sum(seen.runs.values())} of {len(seen.runs)} tasks",
        f"  streams read to the end {sum(each.to_the_end for each in seen.received)} of {len(seen.received)}",
        f"  answers {dict(sorted((status, number) for (status, _), number in seen.answers.items()))}",
        *(f"  {name.replace('_', ' ')} {value}" for name, value in more.items()),
        f"  violations {len(found)}",
    ]
    return "\n".join(lines)


def _spread(seconds: Sequence[float]) -> str:
    p50, p95, p99 = (percentile(seconds, part) for part in (0.5, 0.95, 0.99))
    return f"p50 {p50:.3f} s, p95 {p95:.3f} s, p99 {p99:.3f} s, longest {max(seconds, default=0):.3f} s"


def _states(seen: Evidence) -> str:
    states = sorted({row.state for row in seen.rows.values()})
    return ", ".join(f"{sum(row.state == state for row in seen.rows.values())} {state}" for state in states)
