"""The tables of deliveries, typed, as migrations/ makes them: of the same database as those of tables.py."""

from sqlalchemy import CheckConstraint, Column, DateTime, Index, Integer, LargeBinary, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import UUID

from app.storage.tables import metadata

_moment = DateTime(timezone=True)

deliveries = Table(
    "deliveries",
    metadata,
    # One row for each task with a callback; the journal makes it and says what is to be sent.
    Column("task_id", UUID(as_uuid=False), primary_key=True),
    Column("submitter", Text, nullable=False),
    Column("url", Text, nullable=False),
    # Who waits in one line: one submitter's callbacks at one origin.
    Column("sink", Text, nullable=False),
    Column("events", Text),
    Column("acknowledged_by", Text, nullable=False),
    Column("sealed_secret", LargeBinary),
    Column("state", Text, nullable=False),
    Column("wanted_sequence", Integer, nullable=False),
    Column("delivered_sequence", Integer, nullable=False),
    Column("acknowledged_sequence", Integer, nullable=False),
    Column("redeliver_until", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("last_outcome", Text),
    Column("last_attempt_at", _moment),
    Column("waiting_since", _moment),
    Column("next_attempt_at", _moment),
    # Rises with each claim: whoever finishes an older one is refused.
    Column("claim", Integer, nullable=False),
    Column("claimed_until", _moment),
    CheckConstraint("state IN ('active', 'delivered', 'gone', 'dead')", name="state_known"),
    CheckConstraint("acknowledged_by IN ('response', 'request')", name="acknowledged_by_known"),
    CheckConstraint("next_attempt_at IS NULL OR state = 'active'", name="due_when_active"),
    CheckConstraint("(next_attempt_at IS NULL) = (waiting_since IS NULL)", name="waits_when_due"),
)
Index(
    "deliveries_due",
    deliveries.c.sink,
    deliveries.c.next_attempt_at,
    postgresql_where=text("next_attempt_at IS NOT NULL"),
)
Index(
    "deliveries_failing",
    deliveries.c.task_id,
    postgresql_where=text("failures > 0 OR state IN ('gone', 'dead')"),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("task_id", UUID(as_uuid=False), primary_key=True),
    # The attempt's number modulo those that are kept: the log of a task is bounded, and nothing is ever deleted.
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("attempted_at", _moment, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("next_attempt_at", _moment),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("submitter", Text, primary_key=True),
    Column("secret_id", UUID(as_uuid=False), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", _moment, nullable=False),
    Column("shown_at", _moment),
    Column("expires_at", _moment),
)
Index(
    "webhook_secrets_current",
    webhook_secrets.c.submitter,
    unique=True,
    postgresql_where=text("expires_at IS NULL"),
)
