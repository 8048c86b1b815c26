"""Tasks that came encrypted: the wrapped key of their content."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column without a default: the table is not written anew, and the old version goes on beside it."""
    op.execute("ALTER TABLE tasks ADD COLUMN encryption json")


def downgrade() -> None:
    """What came encrypted can never be opened again."""
    op.execute("ALTER TABLE tasks DROP COLUMN encryption")
