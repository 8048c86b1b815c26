"""The tables of callers, typed, as migrations/ makes them: what each of them may, uses, and has lost the right to."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Double, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB, UUID

from app.storage.tables import metadata

_moment = DateTime(timezone=True)

# What admins have set for single submitters (app/protocol/quotas.py); null: as for everybody.
quotas = Table(
    "quotas",
    metadata,
    Column("submitter", Text, primary_key=True),
    Column("queued", BigInteger),
    Column("running", BigInteger),
    # Thousandths by unit.
    Column("held", JSONB),
    Column("stored_bytes", BigInteger),
    Column("rate", Text),
    Column("weight", Double),
    Column("set_at", _moment, nullable=False),
    Column("set_by", Text, nullable=False),
)

# What each submitter uses, written by the journal with what it counts. And whether it does: one row or none, and since
# when all is counted (infinity: what there was before is still being added).
quota_usage = Table(
    "quota_usage",
    metadata,
    Column("submitter", Text, primary_key=True),
    Column("queued", BigInteger, nullable=False, server_default="0"),
    Column("running", BigInteger, nullable=False, server_default="0"),
    Column("stored_bytes", BigInteger, nullable=False, server_default="0"),
    Column("held", JSONB, nullable=False, server_default="{}"),
)
quota_counting = Table("quota_counting", metadata, Column("since", _moment, nullable=False))

# How often each subject has called: app/protocol/rates.py tells what an arrival is. Unlogged, so that a draw waits for
# no disk; after a crash of Postgres everyone begins anew.
rate_levels = Table(
    "rate_levels",
    metadata,
    Column("subject", Text, primary_key=True),
    # In seconds since the epoch, on the database's clock.
    Column("arrival", Double, nullable=False),
    prefixes=["UNLOGGED"],
)

revocations = Table(
    "revocations",
    metadata,
    Column("revocation_id", UUID(as_uuid=False), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    # A time of the past: the entry has ended, and is removed with the next change.
    Column("until", _moment, nullable=False),
    Column("revoked_at", _moment, nullable=False),
    Column("revoked_by", Text, nullable=False),
    CheckConstraint("kind IN ('subject', 'token_id')", name="kind_known"),
    UniqueConstraint("kind", "value", name="revocations_named_once"),
)
