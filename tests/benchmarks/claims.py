"""`python -m tests.benchmarks.claims [--quick]`: what claims and decisions cost while much waits, as a table.

The real claimer and the real Resource Manager on the real database, without execution: what is claimed is granted and
released at once. Before each round what waits is topped up. The backlogs take turns, so that
whatever else the machine does falls on all of them alike.
"""

import argparse
import itertools
import statistics
import time
from time import perf_counter

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from app.execution.claimer import Claimer
from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.resources.request import request_of
from app.storage.claim import Leases
from app.storage.database import Database, driver_dsn
from app.storage.lines import WAITS
from tests.support.postgres import Databases, SharedServer

BACKLOGS = (1_000, 100_000, 1_000_000)
QUICK_BACKLOGS = (1_000, 20_000)
SUBMITTERS = 1_000
CLAIMED = 800
ROUNDS = 7

_SPREAD = f"'submitter-' || (n % {SUBMITTERS})"
_ONE_FLOODS = f"CASE WHEN n % 100 = 0 THEN 'submitter-' || (n / 100 % {SUBMITTERS}) ELSE 'flooder' END"
WHOSE = {f"{SUBMITTERS:,} submitters": _SPREAD, "one has 99 %": _ONE_FLOODS}

# As the journal would have stored them, but for their history. A bulk insert of a million is no use of the service.
_FILL = """
INSERT INTO tasks (task_id, message_id, idempotency_key, content_digest, submitter, type, priority, submission,
    deadline, labels, requested, shape, timeout_s, retry, submitted_at, state, version, attempt, allocation_attempts,
    allocated, used, updated_at, acknowledged_sequence, sequence, head_hash)
SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0')
        || '8' || substr(md5(n::text || clock_timestamp()), 1, 15))::uuid,
    'm-' || n, 'm-' || n, '\\x00', {submitter}, 'echo', 1,
    json_build_object('type', 'submit_task', 'header', json_build_object('message_id', 'm-' || n, 'timestamp', now()),
        'body', json_build_object('task_specification', json_build_object('type', 'echo', 'parameters',
            json_build_object('text', 'hello')), 'priority', 1)),
    NULL, '{{}}', '{{"cpu":10,"memory_mb":1000}}', '{{"cpu":10,"memory_mb":1000}}', 60,
    '{{"max_attempts":3,"backoff":"exponential","initial_s":1,"max_s":60}}', now(), 'ResourceAllocation', 1, 0, 0,
    '{{}}', '{{}}', now(), 0, 3, md5(n::text) || md5(n::text)
FROM generate_series({first}::bigint, {last}::bigint) AS n"""


class Claiming:
    """A node that claims and grants, and runs nothing."""

    def __init__(self, leases: Leases) -> None:
        self._taken = 0
        self._manager = ResourceManager({"cpu": 1_000, "memory_mb": 1_000_000})
        self._claimer = Claimer(leases, self._manager, ["echo"], self._adopt, lambda: None)

    async def rate(self, tasks: int) -> float:
        """Claims and grants so many tasks or a few more; answers how many a second."""
        begin, self._taken = perf_counter(), 0
        self._claimer.announce()
        while self._taken < tasks:
            await self._claimer._claim()
        return self._taken / (perf_counter() - begin)

    async def _adopt(self, tasks: list[Task]) -> None:
        for task in tasks:
            self._manager.request(request_of(task))
        while grants := self._manager.decide(time.time()):
            for grant in grants:
                self._manager.release(grant.task_id, time.time())
        self._taken += len(tasks)


class Backlog:
    """A database in which so many tasks wait."""

    def __init__(self, url: str, size: int, submitter: str) -> None:
        self.size = size
        self.rates: list[float] = []
        self._submitter = submitter
        self._stored = 0
        self._database = Database(url)
        self._leases = Leases(self._database, node_id="benchmark", lease_s=3600)
        self._claiming = Claiming(self._leases)
        self._dsn = driver_dsn(url)

    async def fill(self, *, analyze: bool) -> None:
        """Tops it up to its size."""
        sql = await asyncpg.connect(self._dsn)
        waiting = await sql.fetchval(f"SELECT count(*) FROM tasks WHERE {WAITS}")
        missing = self.size - waiting
        await sql.execute(_FILL.format(submitter=self._submitter, first=self._stored + 1, last=self._stored + missing))
        self._stored += missing
        if analyze:
            await sql.execute("VACUUM ANALYZE tasks")
        await sql.close()

    async def measure(self) -> None:
        """One round."""
        self.rates.append(await self._claiming.rate(CLAIMED))

    async def close(self) -> None:
        """Closes the connections."""
        await self._leases.close()
        await self._database.close()


async def measured(urls: list[str], sizes: tuple[int, ...], submitter: str, *, analyze: bool) -> list[Backlog]:
    """All rounds over all sizes."""
    backlogs = [Backlog(url, size, submitter) for url, size in zip(urls, sizes, strict=True)]
    for number in range(ROUNDS):
        for backlog in backlogs:
            await backlog.fill(analyze=analyze and number == 0)
            await backlog.measure()
    for backlog in backlogs:
        await backlog.close()
    return backlogs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.claims", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small amounts, under a minute, for trying out")
    sizes = QUICK_BACKLOGS if parser.parse_args().quick else BACKLOGS
    server = SharedServer()
    databases = Databases(server.url)
    table = Table("waiting", "of whom", "statistics", "tasks a second (median, least, most)", "of the smallest")
    try:
        for (name, submitter), analyze in itertools.product(WHOSE.items(), (True, False)):
            urls = [databases.create(migrated=True) for _ in sizes]
            backlogs = uvloop.run(measured(urls, sizes, submitter, analyze=analyze))
            for backlog in backlogs:
                table.add_row(*_row(backlog, backlogs[0], name, analyze=analyze))
            for url in urls:
                databases.drop(url)
    finally:
        databases.close()
        server.close()
    Console(width=130).print(table)


def _row(backlog: Backlog, smallest: Backlog, name: str, *, analyze: bool) -> list[str]:
    rate = statistics.median(backlog.rates)
    rates = f"{rate:,.0f} ({min(backlog.rates):,.0f}, {max(backlog.rates):,.0f})"
    of_smallest = f"{rate / statistics.median(smallest.rates):.2f}"
    return [f"{backlog.size:,}", name, "analyzed" if analyze else "none", rates, of_smallest]


if __name__ == "__main__":
    main()
