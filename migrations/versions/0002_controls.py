"""What operators want of nodes and kinds of task."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds to the nodes what is wanted of them; a constant default rewrites nothing."""
    op.execute(
        """
        ALTER TABLE nodes ADD COLUMN mode text NOT NULL DEFAULT 'serving',
            ADD CONSTRAINT nodes_mode_known CHECK (mode IN ('serving', 'paused', 'draining'))
        """
    )
    op.execute(
        """
        CREATE TABLE paused_types (
            type text NOT NULL,
            paused_at timestamptz NOT NULL,
            paused_by text NOT NULL,
            CONSTRAINT paused_types_pkey PRIMARY KEY (type)
        )
        """
    )


def downgrade() -> None:
    """Everything is resumed."""
    op.execute("DROP TABLE paused_types")
    op.execute("ALTER TABLE nodes DROP COLUMN mode")
