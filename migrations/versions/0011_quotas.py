"""Quotas: what is set for single submitters, and what each submitter uses."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE quotas (
        submitter text NOT NULL,
        queued bigint,
        running bigint,
        held jsonb,
        stored_bytes bigint,
        rate text,
        weight double precision,
        set_at timestamptz NOT NULL,
        set_by text NOT NULL,
        CONSTRAINT quotas_pkey PRIMARY KEY (submitter)
    )
    """,
    # Written with nearly every batch of changes: half-filled pages keep new versions of a row beside the old.
    """
    CREATE TABLE quota_usage (
        submitter text NOT NULL,
        queued bigint NOT NULL DEFAULT 0,
        running bigint NOT NULL DEFAULT 0,
        stored_bytes bigint NOT NULL DEFAULT 0,
        held jsonb NOT NULL DEFAULT '{}',
        CONSTRAINT quota_usage_pkey PRIMARY KEY (submitter)
    ) WITH (fillfactor = 50)
    """,
    # Has its one row as soon as use is counted, which is not before the first quota is set.
    "CREATE TABLE quota_counting (since timestamptz NOT NULL)",
    """
    CREATE FUNCTION add_amounts(one jsonb, other jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE AS $$
        SELECT coalesce(jsonb_object_agg(unit, amount) FILTER (WHERE amount <> 0), '{}') FROM (
            SELECT key AS unit, sum(value::bigint)::bigint AS amount
            FROM (SELECT * FROM jsonb_each_text(one) UNION ALL SELECT * FROM jsonb_each_text(other)) AS both_of_them
            GROUP BY key
        ) AS added
    $$
    """,
)


def upgrade() -> None:
    """Makes empty tables: nothing is counted until a quota is set."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drops them: what admins have set is gone."""
    op.execute("DROP FUNCTION add_amounts(jsonb, jsonb)")
    op.execute("DROP TABLE quotas, quota_usage, quota_counting")
