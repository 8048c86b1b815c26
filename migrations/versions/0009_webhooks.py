"""Webhooks: what is to be delivered of each task with a callback, how it went, and the secrets that sign it."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # A constant default: no row is touched. The version before writes false for every task, which is true of its own.
    "ALTER TABLE tasks ADD COLUMN callback boolean NOT NULL DEFAULT false",
    """
    CREATE TABLE deliveries (
        task_id uuid NOT NULL,
        submitter text NOT NULL,
        url text NOT NULL,
        sink text NOT NULL,
        events text,
        acknowledged_by text NOT NULL,
        sealed_secret bytea,
        state text NOT NULL,
        wanted_sequence integer NOT NULL,
        delivered_sequence integer NOT NULL,
        acknowledged_sequence integer NOT NULL,
        redeliver_until integer NOT NULL,
        attempts integer NOT NULL,
        failures integer NOT NULL,
        last_outcome text,
        last_attempt_at timestamptz,
        waiting_since timestamptz,
        next_attempt_at timestamptz,
        claim integer NOT NULL,
        claimed_until timestamptz,
        CONSTRAINT deliveries_pkey PRIMARY KEY (task_id),
        CONSTRAINT deliveries_state_known CHECK (state IN ('active', 'delivered', 'gone', 'dead')),
        CONSTRAINT deliveries_acknowledged_by_known CHECK (acknowledged_by IN ('response', 'request')),
        CONSTRAINT deliveries_due_when_active CHECK (next_attempt_at IS NULL OR state = 'active'),
        CONSTRAINT deliveries_waits_when_due CHECK ((next_attempt_at IS NULL) = (waiting_since IS NULL))
    )
    """,
    "CREATE INDEX deliveries_due ON deliveries (sink, next_attempt_at) WHERE next_attempt_at IS NOT NULL",
    "CREATE INDEX deliveries_failing ON deliveries (task_id) WHERE failures > 0 OR state IN ('gone', 'dead')",
    """
    CREATE TABLE delivery_attempts (
        task_id uuid NOT NULL,
        slot smallint NOT NULL,
        attempt integer NOT NULL,
        sequence integer NOT NULL,
        attempted_at timestamptz NOT NULL,
        outcome text NOT NULL,
        duration_ms integer NOT NULL,
        next_attempt_at timestamptz,
        CONSTRAINT delivery_attempts_pkey PRIMARY KEY (task_id, slot)
    )
    """,
    """
    CREATE TABLE webhook_secrets (
        submitter text NOT NULL,
        secret_id uuid NOT NULL,
        sealed bytea NOT NULL,
        created_at timestamptz NOT NULL,
        shown_at timestamptz,
        expires_at timestamptz,
        CONSTRAINT webhook_secrets_pkey PRIMARY KEY (submitter, secret_id)
    )
    """,
    # One that does not run out for each submitter.
    "CREATE UNIQUE INDEX webhook_secrets_current ON webhook_secrets (submitter) WHERE expires_at IS NULL",
)


def upgrade() -> None:
    """Adds them."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drops them: what has not been delivered will not be."""
    op.execute("DROP TABLE webhook_secrets, delivery_attempts, deliveries")
    op.execute("ALTER TABLE tasks DROP COLUMN callback")
