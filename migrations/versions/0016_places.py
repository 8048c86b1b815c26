"""The index of what waits has a line as one value, and a place in it by values that can be compared.

So a search for the next line stops where that line begins, and a claim can begin in the middle of a line: see
app/storage/lines.py.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_INDEX = """
CREATE INDEX tasks_lines ON tasks ({columns}, task_id)
    WHERE lease_owner IS NULL AND (state = 'ResourceAllocation' OR (state = 'Waiting' AND due))
"""
_LINE = """
lpad((priority + 32768)::text, 5, '0') COLLATE "C" || chr(31) || submitter || chr(31) || type || chr(31) || shape
"""


def upgrade() -> None:
    """Changes the index of what waits only. A service of the former version sorts what waits until it is replaced."""
    op.execute("DROP INDEX tasks_lines")
    op.execute(_INDEX.format(columns=f"({_LINE}), coalesce(deadline, 'infinity')"))


def downgrade() -> None:
    """Makes the former index."""
    op.execute("DROP INDEX tasks_lines")
    op.execute(_INDEX.format(columns="priority, submitter, type, shape, deadline"))
