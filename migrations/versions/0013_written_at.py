"""When each message was written, by the database's clock, and an index that finds what was written lately."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Additive: a service of the former version leaves the column to its default.

    Rows that are there get the time of the migration without being rewritten. The index has one small entry for a
    megabyte of history, so that making it reads the table once and writes next to nothing.
    """
    op.execute("ALTER TABLE history ADD COLUMN written_at timestamptz NOT NULL DEFAULT statement_timestamp()")
    op.execute("CREATE INDEX history_written ON history USING brin (written_at) WITH (autosummarize = on)")


def downgrade() -> None:
    """Nobody asks what was written lately any more."""
    op.execute("DROP INDEX history_written")
    op.execute("ALTER TABLE history DROP COLUMN written_at")
