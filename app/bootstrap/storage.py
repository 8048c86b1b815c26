"""The storage of a service: its database, checked, and everything that reads and writes it."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from app.protocol.quotas import NOTHING_SET, Quota
from app.settings import Settings, StorageSettings
from app.settings.security import SecuritySettings
from app.storage import guard, migrations, retention
from app.storage.ahead import AheadReader
from app.storage.claim import Leases
from app.storage.controls import Controls
from app.storage.database import Database
from app.storage.dead_rows import count_dead_rows
from app.storage.delivery_log import DeliveryLog
from app.storage.journal import Journal
from app.storage.marked_lines import Sweep
from app.storage.marks import Marks
from app.storage.nodes import Nodes
from app.storage.outside import OutsideLeases
from app.storage.own_database import own_database
from app.storage.queries import Heads, Queries, StatusReader
from app.storage.quotas import Quotas
from app.storage.rates import RateLevels
from app.telemetry.metrics import Metrics, Observation

WEEKS_AHEAD = 2


@dataclass(frozen=True, slots=True)
class OpenDatabase:
    """A database that is fit to serve. `embedded` says that it is this data directory's own, and this its only node."""

    database: Database
    node_id: str
    embedded: bool


async def open_database(storage: StorageSettings, stack: AsyncExitStack) -> OpenDatabase:
    """The database, with the embedded server started where no other is configured.

    Raises EmbeddedPostgresError, DataDirectoryInUse, SchemaMismatch, UnfitDatabase, StorageUnavailable.
    """
    embedded = storage.database_url is None
    url, node_id = await _url_and_node(storage, stack)
    database = Database(url, pool_size=storage.database_pool)
    stack.push_async_callback(database.close)
    await guard.check_version(database)
    if not storage.unsafe_database:
        await guard.check_durability(database)
    await migrations.check(database)
    await retention.prepare_weeks(database, WEEKS_AHEAD)
    return OpenDatabase(database, node_id, embedded)


class Storage:
    """What stands on the database. `kids` are the encryption keys that this node has."""

    def __init__(
        self, opened: OpenDatabase, settings: Settings, metrics: Metrics, kids: Callable[[], Sequence[str]]
    ) -> None:
        lease_s = settings.execution.lease_s
        self._retention = timedelta(days=settings.storage.retention_days)
        default_quota = _default_quota(settings.security)
        self.database = database = opened.database
        self.node_id = opened.node_id
        self.embedded = opened.embedded
        self.journal = Journal(
            database,
            lease_s=lease_s,
            observe=metrics.journal_commit,
            conflicted=metrics.journal_conflict,
            default_quota=default_quota,
        )
        self.quotas = Quotas(database, default_quota)
        self.reader = StatusReader(database)
        self.queries = Queries(database)
        self.heads = Heads(database)
        self.delivery_log = DeliveryLog(database)
        self.controls = Controls(database)
        self.nodes = Nodes(database, node_id=opened.node_id, lease_s=lease_s)
        self.rates = RateLevels(database)
        self.marks = Marks()
        self.ahead = AheadReader(database, self.marks)
        self.outside_leases = OutsideLeases(database, lease_s=lease_s, marks=self.marks)
        self.leases = Leases(database, node_id=opened.node_id, lease_s=lease_s, marks=self.marks, kids=kids)
        self.sweep = Sweep(self.leases.sweeps, self.marks, kids)
        self._dead_rows: int | None = None
        metrics.observe_with(lambda: Observation(dead_rows=self._dead_rows))

    def close_with(self, stack: AsyncExitStack) -> None:
        """Registers the end of what holds connections of its own."""
        for closing in (
            self.journal.close,
            self.reader.close,
            self.ahead.close,
            self.rates.close,
            self.leases.close,
            self.outside_leases.close,
        ):
            stack.push_async_callback(closing)

    async def prepare_weeks(self) -> None:
        """Partitions for the weeks to come. For repetition."""
        await retention.prepare_weeks(self.database, WEEKS_AHEAD)

    async def count_dead_rows(self) -> None:
        """What the metrics tell of them. For repetition."""
        self._dead_rows = await count_dead_rows(self.database)

    async def prune(self) -> None:
        """Drops the weeks whose time has passed. For repetition."""
        await retention.prune(self.database.url, self._retention)


async def _url_and_node(storage: StorageSettings, stack: AsyncExitStack) -> tuple[str, str]:
    if storage.database_url is not None:
        return storage.database_url, _new_node_id()
    url = await stack.enter_async_context(own_database(storage.data_dir))
    return url, _own_node_id(storage.data_dir / "node-id")


def _default_quota(security: SecuritySettings) -> Quota:
    """What is in force for a submitter for whom an admin has set nothing."""
    quota = NOTHING_SET if security.quota is None else Quota.from_text(security.quota)
    return quota.model_copy(update={"rate": security.rate_limit.lower()})


def _new_node_id() -> str:
    return f"node-{secrets.token_hex(4)}"


def _own_node_id(path: Path) -> str:
    """The name under which this data directory's node has always gone."""
    known = path.read_text().strip() if path.exists() else ""
    if known:
        return known
    # A file that a crash has left empty counts as none. Whole or not there: renamed when written.
    draft = path.with_suffix(".new")
    draft.write_text(_new_node_id())
    draft.replace(path)
    return path.read_text().strip()
