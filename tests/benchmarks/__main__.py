"""`python -m tests.benchmarks [--quick]`: measures, prints a table, writes tests/output/bench.json.

The empty endpoint and the service take turns, so that whatever else the machine does falls on both alike.
"""

import argparse
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from tests.benchmarks import report
from tests.benchmarks.amounts import FULL, QUICK, Amounts
from tests.benchmarks.figures import Figures, medians
from tests.benchmarks.processes import running_bare_endpoint, running_service
from tests.benchmarks.requests import GATE
from tests.benchmarks.rounds import drained, in_turns, store, submit_alone
from tests.support.postgres import Databases, SharedServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small amounts, under a minute, for trying out")
    amounts = QUICK if parser.parse_args().quick else FULL
    machine = report.machine()
    folder = Path(tempfile.mkdtemp(prefix="task-executor-bench-"))
    server = SharedServer()
    databases = Databases(server.url)
    try:
        figures = measure(folder, databases, amounts)
    finally:
        databases.close()
        server.close()
        shutil.rmtree(folder)
    written = report.write({"machine": machine, **figures})
    report.show(figures["medians"], written)


def measure(folder: Path, databases: Databases, amounts: Amounts) -> Figures:
    url = databases.create(migrated=True)
    with running_bare_endpoint() as bare, running_service(folder, url) as service:
        measured = uvloop.run(in_turns(bare, service, url, amounts))
    closed = databases.create(migrated=True)
    gate = json.dumps(GATE)
    with running_bare_endpoint() as bare, running_service(folder, closed, capacity=gate) as service:
        stored = uvloop.run(submit_alone(bare, service, amounts))
    merged = {**medians(measured), **medians(stored)}
    merged["submit"]["of_bare"] = round(merged["submit"]["per_s"] / merged.pop("beside")["per_s"], 2)
    merged["flood"]["of_bare"] = round(merged["flood"]["per_s"] / merged["bare"]["per_s"], 2)
    merged["drain"] = drain(folder, url, amounts.drain)
    return {"medians": merged, "rounds": measured, "submit_rounds": stored}


def drain(folder: Path, url: str, count: int) -> Figures:
    """Tasks that are there already when a node comes up."""
    since = datetime.now(UTC)
    uvloop.run(store(url, count))
    with running_service(folder, url):
        return uvloop.run(drained(url, since))


if __name__ == "__main__":
    main()
