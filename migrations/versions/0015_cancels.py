"""An index of the few tasks whose cancel nobody has recorded: their holder let go of them before it heard."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds an index that is empty but for moments. It is made in one pass over the tasks."""
    op.execute(
        """
        CREATE INDEX tasks_cancel_wanted ON tasks (task_id)
            WHERE cancel_requested_by IS NOT NULL AND cancel_requested_at IS NULL AND finished_at IS NULL
        """
    )


def downgrade() -> None:
    """Removes the index."""
    op.execute("DROP INDEX tasks_cancel_wanted")
