"""The tables, typed, as migrations/ makes them (a test compares the two).

`tasks` is one row a task: its state and, once over, how it ended. `history` is every message of every
task, append-only. Both are partitioned by the week in which the task was submitted, which its id tells, so that
retention drops partitions. `idempotency_keys` says which keys are taken, over all weeks. `nodes` is who serves,
`paused_types` what nobody starts. schema.py lists where the other tables are.
"""

import re

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB, UUID

from app.protocol.reasons import Reason
from app.protocol.states import TERMINAL, State

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s",
        "ix": "%(column_0_label)s",
    }
)


def _one_of(column: str, values: list[str]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


def is_partition(name: str | None) -> bool:
    """Whether this is one of the partitions, which come and go with time; the tables here are their parents."""
    return name is not None and re.fullmatch(r"(tasks|history)_(default|\d{4}w\d{2})", name) is not None


_moment = DateTime(timezone=True)
_terminal = _one_of("state", sorted(TERMINAL))

tasks = Table(
    "tasks",
    metadata,
    # Who and what: written once.
    Column("task_id", UUID(as_uuid=False), primary_key=True),
    Column("message_id", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("content_digest", LargeBinary, nullable=False),
    Column("submitter", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("submission", JSON, nullable=False),
    Column("deadline", _moment),
    Column("labels", JSONB, nullable=False),
    Column("requested", JSON, nullable=False),
    Column("shape", Text, nullable=False),
    Column("timeout_s", Double, nullable=False),
    Column("retry", JSON, nullable=False),
    Column("submitted_at", _moment, nullable=False),
    Column("retry_of", UUID(as_uuid=False)),
    # The wrapped key of what came encrypted: submission, result, error and progress_details are sealed with it.
    Column("encryption", JSON),
    # Where it stands: written by the journal with every change.
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("allocation_attempts", Integer, nullable=False),
    Column("progress", Double),
    Column("progress_details", JSON),
    Column("reason", Text),
    Column("error", JSON),
    Column("result", JSON),
    Column("waiting", JSON),
    Column("warning", JSON),
    Column("allocated", JSON, nullable=False),
    Column("used", JSON, nullable=False),
    Column("run_at", _moment),
    Column("started_at", _moment),
    Column("finished_at", _moment),
    Column("updated_at", _moment, nullable=False),
    Column("cancel_requested_at", _moment),
    Column("acknowledged_sequence", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("head_hash", Text, nullable=False),
    Column("lease_owner", Text),
    # Judged by the database's clock alone.
    Column("lease_expires_at", _moment),
    # A Waiting task whose time has come again, and which may be claimed: written by looks and claims alone.
    Column("due", Boolean, nullable=False, server_default=text("false")),
    # Word left for the holder by others: never written by the journal.
    Column("cancel_requested_by", Text),
    Column("acknowledgement_wanted", Integer),
    # There is a row in deliveries.
    Column("callback", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint(_one_of("state", list(State)), name="state_known"),
    CheckConstraint(f"reason IS NULL OR {_one_of('reason', list(Reason))}", name="reason_known"),
    CheckConstraint(f"({_terminal}) = (finished_at IS NOT NULL)", name="finished_when_terminal"),
    CheckConstraint("(state IN ('Failed', 'Rejected')) = (reason IS NOT NULL)", name="reason_when_not_completed"),
    CheckConstraint("(state = 'Waiting') = (run_at IS NOT NULL)", name="due_when_waiting"),
    CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="lease_whole"),
    CheckConstraint(f"lease_owner IS NULL OR NOT ({_terminal})", name="no_lease_when_terminal"),
    postgresql_partition_by="RANGE (task_id)",
)

Index("tasks_submitter", tasks.c.submitter, tasks.c.task_id)
# The order in which tasks are claimed: see app/storage/lines.py.
Index(
    "tasks_lines",
    # As Postgres tells it.
    text(
        "(((((((lpad((priority + 32768)::text, 5, '0') COLLATE \"C\") || chr(31)) || submitter) || chr(31)) || type) "
        "|| chr(31)) || shape)"
    ),
    text("coalesce(deadline, 'infinity')"),
    tasks.c.task_id,
    postgresql_where=text("lease_owner IS NULL AND (state = 'ResourceAllocation' OR (state = 'Waiting' AND due))"),
)
Index("tasks_due", tasks.c.run_at, postgresql_where=text("state = 'Waiting' AND lease_owner IS NULL AND NOT due"))
# On the owner, not on the expiry: a heartbeat moves every expiry and must not touch an index.
Index("tasks_leased", tasks.c.lease_owner, postgresql_where=text("lease_owner IS NOT NULL"))
Index(
    "tasks_deadline",
    tasks.c.deadline,
    postgresql_where=text("deadline IS NOT NULL AND finished_at IS NULL"),
)
# Holds the few whose acknowledgement nobody has recorded yet.
Index(
    "tasks_acknowledgement_wanted",
    tasks.c.task_id,
    postgresql_where=text("acknowledgement_wanted > acknowledged_sequence"),
)

# Holds the few whose cancel nobody has recorded yet.
Index(
    "tasks_cancel_wanted",
    tasks.c.task_id,
    postgresql_where=text("cancel_requested_by IS NOT NULL AND cancel_requested_at IS NULL AND finished_at IS NULL"),
)

history = Table(
    "history",
    metadata,
    Column("task_id", UUID(as_uuid=False), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("recorded_at", _moment, nullable=False),
    Column("status", Text, nullable=False),
    # json keeps the text as it came; jsonb would lose big integers and break the hash.
    Column("message", JSON),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    # In place of a message that was erased: what the hash covers of it.
    Column("message_digest", Text),
    Column("erased_at", _moment),
    # By the database's clock, when the statement began; a node's clock says `recorded_at`.
    Column("written_at", _moment, nullable=False, server_default=text("statement_timestamp()")),
    PrimaryKeyConstraint("task_id", "sequence"),
    postgresql_partition_by="RANGE (task_id)",
)

# History is appended to, so that what was written at one time lies together: a few bytes a megabyte find it.
Index(
    "history_written",
    history.c.written_at,
    postgresql_using="brin",
    postgresql_with={"autosummarize": "on"},
)


def _keys(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("submitter", Text, primary_key=True),
        Column("idempotency_key", Text, primary_key=True),
        Column("task_id", UUID(as_uuid=False), nullable=False),
    )


idempotency_keys = _keys("idempotency_keys")
"""The keys of accepted tasks, one row each: a Rejected one uses up none."""

idempotency_keys_before = _keys("idempotency_keys_before")
"""The older ones. When all of its tasks have been dropped this table is emptied, and the two change names; so keys
are never deleted one by one, and a new key is looked for in one other place only."""

retention = Table(
    "retention",
    metadata,
    # The one row: tasks with smaller ids have been dropped, but for a few in the default partition, whose keys are
    # among the younger ones. Those go into idempotency_keys since `keys_since`.
    Column("oldest_kept", UUID(as_uuid=False), primary_key=True),
    Column("keys_since", _moment, nullable=False),
)

erasures = Table(
    "erasures",
    metadata,
    Column("task_id", UUID(as_uuid=False), primary_key=True),
    Column("erased_at", _moment, nullable=False),
    Column("erased_by", Text, nullable=False),
)
"""Whose word erased the content of which task; kept when the task itself has been dropped."""

prunings = Table(
    "prunings",
    metadata,
    Column("week", Text, primary_key=True),
    Column("pruned_at", _moment, nullable=False),
    Column("finished_before", _moment, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("kept", BigInteger, nullable=False),
)
"""The weeks that were dropped: so many tasks went, and so many outlived their week."""

nodes = Table(
    "nodes",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("started_at", _moment, nullable=False),
    Column("expires_at", _moment, nullable=False),
    Column("resources", JSON, nullable=False),
    # Set by operators, never by the node itself.
    Column("mode", Text, nullable=False, server_default="serving"),
    CheckConstraint("mode IN ('serving', 'paused', 'draining')", name="mode_known"),
)

paused_types = Table(
    "paused_types",
    metadata,
    Column("type", Text, primary_key=True),
    Column("paused_at", _moment, nullable=False),
    Column("paused_by", Text, nullable=False),
)
