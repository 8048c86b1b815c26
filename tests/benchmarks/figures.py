"""Figures made of measurements."""

from collections.abc import Sequence
from statistics import median
from typing import Any

Figures = dict[str, Any]


def latencies(seconds: Sequence[float], name: str) -> Figures:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return {
        f"{name}_p50_ms": round(1000 * median(ordered), 2),
        f"{name}_p99_ms": round(1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 2),
    }


def medians(rounds: Sequence[Figures]) -> Figures:
    """Each figure's median over the rounds; figures in groups keep their groups."""
    merged: Figures = {}
    for name, first in rounds[0].items():
        values = [each[name] for each in rounds]
        merged[name] = medians(values) if isinstance(first, dict) else round(median(values), 3)
    return merged
