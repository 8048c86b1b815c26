"""`python -m tests.benchmarks.claims [--quick]`: what claims and decisions cost while much waits, as a table.

The real claimer and the real Resource Manager on the real database, without execution: what is claimed waits for its
turn on a node where few tasks fit at once, is granted and released. Before each round what waits is topped up. The
backlogs take turns, so that whatever else the machine does falls on all of them alike.
"""

import argparse
import statistics
import time
from time import perf_counter, process_time
from typing import NamedTuple

import asyncpg
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from app.execution.claimer import Claimer
from app.protocol.task import Task
from app.resources.manager import ResourceManager
from app.resources.request import request_of
from app.storage.ahead import AheadReader
from app.storage.claim import Leases
from app.storage.database import Database, driver_dsn
from app.storage.lines import WAITS
from app.storage.marks import Marks
from app.storage.rows import COLUMNS, task_of
from tests.support.postgres import Databases, SharedServer

BACKLOGS = (1_000, 100_000, 1_000_000)
QUICK_BACKLOGS = (1_000, 20_000)
SUBMITTERS = 1_000
CLAIMED = 800
WARM_UP, ROUNDS = 2, 7
"""After a checkpoint the first change of a page writes all of it to the log. A running service passes that within
seconds of each checkpoint, and the rounds that are not counted take in the first pages of all submitters."""

AT_ONCE = 20
"""So many tasks fit on the node. Were it more than one claim brings, a claim of few tasks (a small backlog has few of
each submitter) would be granted without a queue, and what is decided would be compared with what is not."""

_IN_TURN = f"'submitter-' || (n % {SUBMITTERS})"
_ONE_FLOODS = f"CASE WHEN n % 100 = 0 THEN 'submitter-' || (n / 100 % {SUBMITTERS}) ELSE 'flooder' END"
_AT_RANDOM = "now() + interval '1 day' * (1 + random())"
WHOSE = {
    f"{SUBMITTERS:,} submitters": (_IN_TURN, "NULL"),
    "one has 99 %": (_ONE_FLOODS, "NULL"),
    "deadlines at random": (_IN_TURN, _AT_RANDOM),
}
"""Whose the tasks are, and their deadlines. Where those lie at random, what comes next never lies beside what came
last: the most that a claim can cost."""

# As the journal would have stored them, one a millisecond, but for their history. A bulk insert of a million is no use
# of the service.
_FILL = """
INSERT INTO tasks (task_id, message_id, idempotency_key, content_digest, submitter, type, priority, submission,
    deadline, labels, requested, shape, timeout_s, retry, submitted_at, state, version, attempt, allocation_attempts,
    allocated, used, updated_at, acknowledged_sequence, sequence, head_hash)
SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - {last} + n), 12, '0') || '7'
        || lpad(to_hex(n % 4096), 3, '0') || '8' || substr(md5(n::text || clock_timestamp()), 1, 15))::uuid,
    'm-' || n, 'm-' || n, '\\x00', {submitter}, 'echo', 1,
    json_build_object('type', 'submit_task', 'header', json_build_object('message_id', 'm-' || n, 'timestamp', now()),
        'body', json_build_object('task_specification', json_build_object('type', 'echo', 'parameters',
            json_build_object('text', 'hello')), 'priority', 1)),
    {deadline}, '{{}}', '{{"cpu":10,"memory_mb":1000}}', '{{"cpu":10,"memory_mb":1000}}', 60,
    '{{"max_attempts":3,"backoff":"exponential","initial_s":1,"max_s":60}}', now(), 'ResourceAllocation', 1, 0, 0,
    '{{}}', '{{}}', now(), 0, 3, md5(n::text) || md5(n::text)
FROM generate_series({first}::bigint, {last}::bigint) AS n"""

# Postgres makes statistics by itself a minute after much was stored. Without any means without those too.
_AUTOVACUUM = """
DO $$
DECLARE
    week regclass;
BEGIN
    FOR week IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'tasks'::regclass LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = {enabled})', week);
    END LOOP;
END
$$"""


COLUMNS_SHOWN = (
    "waiting",
    "whose",
    "statistics",
    "tasks a second (median, least, most)",
    "of the smallest",
    "processor us a task, Postgres / here",
    "log, kB a task",
    "ahead counted, ms",
)


class Cost(NamedTuple):
    """What a task takes: seconds by the clock, of the processor in Postgres and here, and bytes of write-ahead log."""

    clock_s: float
    postgres_s: float
    here_s: float
    log_bytes: float


class Claiming:
    """A node that claims and grants, and runs nothing."""

    def __init__(self, leases: Leases) -> None:
        self._taken = 0
        self._manager = ResourceManager({"cpu": 10 * AT_ONCE, "memory_mb": 1000 * AT_ONCE})
        self._claimer = Claimer(leases, self._manager, ["echo"], self._adopt, lambda: None)

    async def claim(self, tasks: int) -> int:
        """Claims and grants so many tasks or a few more; answers how many."""
        self._taken = 0
        self._claimer.announce()
        while self._taken < tasks:
            await self._claimer._claim()
        return self._taken

    async def _adopt(self, tasks: list[Task]) -> None:
        for task in tasks:
            self._manager.request(request_of(task))
        while grants := self._manager.decide(time.time()):
            for grant in grants:
                self._manager.release(grant.task_id, time.time())
        self._taken += len(tasks)


class Backlog:
    """A database in which so many tasks wait."""

    def __init__(self, url: str, size: int, submitter: str, deadline: str) -> None:
        self.size = size
        self.costs: list[Cost] = []
        self.ahead_ms = 0.0
        self._whose = {"submitter": submitter, "deadline": deadline}
        self._stored = 0
        self._url = url

    async def open(self) -> None:
        """Connects."""
        self._sql = await asyncpg.connect(driver_dsn(self._url))
        self._database = Database(self._url)
        self._leases = Leases(self._database, node_id="benchmark", lease_s=3600)
        self._ahead = AheadReader(self._database, Marks())
        self._claiming = Claiming(self._leases)

    async def close(self) -> None:
        """Closes the connections."""
        await self._ahead.close()
        await self._leases.close()
        await self._database.close()
        await self._sql.close()

    async def fill(self) -> None:
        """Tops it up to its size."""
        missing = self.size - await self._sql.fetchval(f"SELECT count(*) FROM tasks WHERE {WAITS}")
        await self._sql.execute(_FILL.format(first=self._stored + 1, last=self._stored + missing, **self._whose))
        self._stored += missing

    async def prepare(self, *, analyzed: bool) -> None:
        """Tops it up, with statistics of what is there, or with none at all."""
        self.costs.clear()
        await self._sql.execute(_AUTOVACUUM.format(enabled=analyzed))
        await self.fill()
        if analyzed:
            await self._sql.execute("VACUUM ANALYZE tasks")
        await self._sql.execute("CHECKPOINT")

    async def measure(self) -> None:
        """One round."""
        before = await self._spent()
        tasks = await self._claiming.claim(CLAIMED)
        after = await self._spent()
        self.costs.append(Cost(*((then - now) / tasks for now, then in zip(before, after, strict=True))))

    async def count_ahead(self) -> None:
        """How long it takes to tell the task that came last what is ahead of it."""
        row = await self._sql.fetchrow(f"SELECT {COLUMNS} FROM tasks WHERE {WAITS} ORDER BY task_id DESC LIMIT 1")
        times = []
        for _ in range(5):
            begin = perf_counter()
            await self._ahead.of_stored(task_of(row))
            times.append(1000 * (perf_counter() - begin))
        self.ahead_ms = statistics.median(times)

    def row(self, smallest: "Backlog", whose: str, *, analyzed: bool) -> list[str]:
        """Its row of the table."""
        rates = [1 / cost.clock_s for cost in self.costs]
        rate = statistics.median(rates)
        mean = Cost(*map(statistics.mean, zip(*self.costs, strict=True)))
        return [
            f"{self.size:,}",
            whose,
            "analyzed" if analyzed else "none",
            f"{rate:,.0f} ({min(rates):,.0f}, {max(rates):,.0f})",
            f"{rate * statistics.median(cost.clock_s for cost in smallest.costs):.2f}",
            f"{1e6 * mean.postgres_s:.0f} / {1e6 * mean.here_s:.0f}",
            f"{mean.log_bytes / 1000:.1f}",
            f"{self.ahead_ms:.0f}",
        ]

    async def _spent(self) -> Cost:
        asked = "SELECT pg_backend_pid() AS process, (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8 AS written"
        ((process, written),) = await self._leases._claims.fetch(asked)
        times = psutil.Process(process).cpu_times()
        return Cost(perf_counter(), times.user + times.system, process_time(), written)


async def measured(urls: list[str], sizes: tuple[int, ...], whose: str) -> list[list[str]]:
    """The rows of the table: all rounds over all sizes, without statistics and with them."""
    backlogs = [Backlog(url, size, *WHOSE[whose]) for url, size in zip(urls, sizes, strict=True)]
    rows = []
    for backlog in backlogs:
        await backlog.open()
    for analyzed in (False, True):
        await in_turns(backlogs, analyzed=analyzed)
        rows += [backlog.row(backlogs[0], whose, analyzed=analyzed) for backlog in backlogs]
    for backlog in backlogs:
        await backlog.close()
    return rows


async def in_turns(backlogs: list[Backlog], *, analyzed: bool) -> None:
    """All rounds."""
    for backlog in backlogs:
        await backlog.prepare(analyzed=analyzed)
    for _ in range(WARM_UP + ROUNDS):
        for backlog in backlogs:
            await backlog.fill()
            await backlog.measure()
    for backlog in backlogs:
        del backlog.costs[:WARM_UP]
        await backlog.count_ahead()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.claims", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small amounts, under a minute, for trying out")
    sizes = QUICK_BACKLOGS if parser.parse_args().quick else BACKLOGS
    server = SharedServer()
    databases = Databases(server.url)
    table = Table(*COLUMNS_SHOWN)
    try:
        for whose in WHOSE:
            urls = [databases.create(migrated=True) for _ in sizes]
            for row in uvloop.run(measured(urls, sizes, whose)):
                table.add_row(*row)
            for url in urls:
                databases.drop(url)
    finally:
        databases.close()
        server.close()
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
