"""Functions with the rights of the schema's owner look at temporary tables last.

A path that does not name them has them first: who may call such a function could put a temporary table, with a trigger,
in the place of one that it writes to, and the trigger would run as the owner.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_SET_PATH = """
DO $do$
DECLARE
    known regprocedure;
BEGIN
    FOR known IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND proconfig::text LIKE '%search_path=%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %s', known, current_setting('search_path') || '{last}');
    END LOOP;
END
$do$
"""


def upgrade() -> None:
    """Changes a setting of each function; whoever calls one meanwhile is not disturbed."""
    op.execute(_SET_PATH.format(last=", pg_temp"))


def downgrade() -> None:
    """Sets the path without them."""
    op.execute(_SET_PATH.format(last=""))
