"""What threatens a task, such as a deadline that will be missed."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column without a default: nothing is rewritten, and the version before does not miss it."""
    op.execute("ALTER TABLE tasks ADD COLUMN warning json")


def downgrade() -> None:
    """The warnings are gone; the history has them."""
    op.execute("ALTER TABLE tasks DROP COLUMN warning")
