"""What waits is claimed line by line: the index in that order, and a mark for retries whose time has come."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Changes indexes of what waits only. A service of the former version sorts what waits until it is replaced."""
    for statement in (
        "ALTER TABLE tasks ADD COLUMN due boolean NOT NULL DEFAULT false",
        """
        CREATE INDEX tasks_lines ON tasks (priority, submitter, type, shape, deadline, task_id)
            WHERE lease_owner IS NULL AND (state = 'ResourceAllocation' OR (state = 'Waiting' AND due))
        """,
        "DROP INDEX tasks_queued",
        "DROP INDEX tasks_due",
        "CREATE INDEX tasks_due ON tasks (run_at) WHERE state = 'Waiting' AND lease_owner IS NULL AND NOT due",
    ):
        op.execute(statement)


def downgrade() -> None:
    """Makes the former indexes."""
    for statement in (
        "DROP INDEX tasks_lines",
        "DROP INDEX tasks_due",
        "ALTER TABLE tasks DROP COLUMN due",
        """
        CREATE INDEX tasks_queued ON tasks (priority, task_id)
            WHERE state = 'ResourceAllocation' AND lease_owner IS NULL
        """,
        "CREATE INDEX tasks_due ON tasks (run_at) WHERE state = 'Waiting' AND lease_owner IS NULL",
    ):
        op.execute(statement)
