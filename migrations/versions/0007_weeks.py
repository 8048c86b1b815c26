"""Tasks and their histories by week of submission, so that retention drops partitions; message ids apart from tasks."""

import re

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# A task id is a UUIDv7: its first 48 bits are the milliseconds since the epoch. So a week of tasks is a range of ids,
# and whoever knows an id knows its partition.
_WEEKS = (
    """
    CREATE FUNCTION task_id_at(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
    $$
    """,
    # Made beside its parent and then attached: that waits for no reader of the other weeks.
    """
    CREATE FUNCTION make_week(parent text, week timestamptz) RETURNS void
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    DECLARE
        partition text := parent || '_' || to_char(week AT TIME ZONE 'UTC', 'IYYY"w"IW');
        first uuid := task_id_at(week);
        next uuid := task_id_at(week + interval '7 days');
    BEGIN
        IF to_regclass(partition) IS NOT NULL THEN
            RETURN;
        END IF;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', partition, parent);
        IF parent = 'tasks' THEN
            -- Half-filled pages leave room beside each row for its two later versions.
            EXECUTE format('ALTER TABLE %I SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, '
                           'autovacuum_analyze_scale_factor = 0.02)', partition);
        END IF;
        -- A clock that was ahead has put rows of that week into the default.
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
        EXECUTE format('WITH moved AS (DELETE FROM %I WHERE task_id >= %L AND task_id < %L RETURNING *) '
                       'INSERT INTO %I SELECT * FROM moved', parent || '_default', first, next, partition);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       parent, partition, first, next);
    END
    $$
    """,
    # With its owner's rights: the service itself need not be allowed to create tables.
    """
    CREATE FUNCTION prepare_weeks(ahead integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '500ms' AS $$
    DECLARE
        first timestamptz := date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('task_executor.weeks'));
        FOR number IN 0 .. ahead LOOP
            PERFORM make_week('tasks', first + number * interval '7 days');
            PERFORM make_week('history', first + number * interval '7 days');
        END LOOP;
    END
    $$
    """,
)

# Which message ids are taken. Not an index of tasks: it has to hold over all weeks. Two tables that change names: keys
# go into the younger one, and the older one is emptied when all of its tasks have been dropped.
_KEYS = (
    """
    CREATE TABLE idempotency_keys (
        submitter text NOT NULL,
        idempotency_key text NOT NULL,
        task_id uuid NOT NULL,
        CONSTRAINT idempotency_keys_pkey PRIMARY KEY (submitter, idempotency_key)
    )
    """,
    """
    CREATE TABLE idempotency_keys_before (
        submitter text NOT NULL,
        idempotency_key text NOT NULL,
        task_id uuid NOT NULL,
        CONSTRAINT idempotency_keys_before_pkey PRIMARY KEY (submitter, idempotency_key)
    )
    """,
    # One row: the least id that a kept task can have, and since when keys go into the younger table.
    """
    CREATE TABLE retention (
        oldest_kept uuid NOT NULL,
        keys_since timestamptz NOT NULL,
        CONSTRAINT retention_pkey PRIMARY KEY (oldest_kept)
    )
    """,
    "INSERT INTO retention VALUES ('00000000-0000-0000-0000-000000000000', '-infinity')",
)

_TASKS = (
    "ALTER TABLE tasks RENAME TO tasks_former",
    "CREATE TABLE tasks (LIKE tasks_former INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (task_id)",
    # Takes what belongs to no week that has been prepared, and what outlives its week.
    "CREATE TABLE tasks_default PARTITION OF tasks DEFAULT",
    """
    SELECT make_week('tasks', week)
    FROM (SELECT DISTINCT date_trunc('week', submitted_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM tasks_former)
        AS weeks(week)
    """,
    "INSERT INTO tasks SELECT * FROM tasks_former",
    "INSERT INTO idempotency_keys SELECT submitter, idempotency_key, task_id FROM tasks WHERE state <> 'Rejected'",
    "DROP TABLE tasks_former",
    "ALTER TABLE tasks ADD CONSTRAINT tasks_pkey PRIMARY KEY (task_id)",
    "CREATE INDEX tasks_submitter ON tasks (submitter, task_id)",
    "CREATE INDEX tasks_queued ON tasks (priority, task_id) WHERE state = 'ResourceAllocation' AND lease_owner IS NULL",
    "CREATE INDEX tasks_due ON tasks (run_at) WHERE state = 'Waiting' AND lease_owner IS NULL",
    "CREATE INDEX tasks_leased ON tasks (lease_owner) WHERE lease_owner IS NOT NULL",
    "CREATE INDEX tasks_deadline ON tasks (deadline) WHERE deadline IS NOT NULL AND finished_at IS NULL",
    """
    CREATE INDEX tasks_acknowledgement_wanted ON tasks (task_id)
        WHERE acknowledgement_wanted > acknowledged_sequence
    """,
)

# By the task and not by the time of the message, as before: a task and its history leave together, and a history is
# read from one partition.
_HISTORY = (
    "ALTER TABLE history RENAME TO history_former",
    "CREATE TABLE history (LIKE history_former) PARTITION BY RANGE (task_id)",
    "ALTER TABLE history_default RENAME TO history_former_default",
    "CREATE TABLE history_default PARTITION OF history DEFAULT",
    """
    DO $$
    DECLARE
        partition regclass;
    BEGIN
        FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'history_former'::regclass LOOP
            EXECUTE format('ALTER TABLE %s RENAME TO %I', partition, 'former_' || partition::text);
        END LOOP;
    END
    $$
    """,
    """
    SELECT make_week('history', week)
    FROM (SELECT DISTINCT date_trunc('week', submitted_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM tasks)
        AS weeks(week)
    """,
    "INSERT INTO history SELECT * FROM history_former",
    "DROP TABLE history_former",
    "ALTER TABLE history ADD CONSTRAINT history_pkey PRIMARY KEY (task_id, sequence)",
    "DROP FUNCTION prepare_history(integer)",
)


def upgrade() -> None:
    """Copies both tables into weeks."""
    op.execute("LOCK TABLE tasks, history IN ACCESS EXCLUSIVE MODE")
    for statement in (*_WEEKS, *_KEYS, *_TASKS, *_HISTORY, "SELECT prepare_weeks(2)"):
        op.execute(statement)


def downgrade() -> None:
    """Makes the former tables anew, with what is in these."""
    op.execute("CREATE TABLE tasks_former (LIKE tasks INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    op.execute("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM history")
    op.execute("INSERT INTO tasks_former SELECT * FROM tasks")
    op.execute("DROP TABLE tasks, history, idempotency_keys, idempotency_keys_before, retention")
    op.execute("DROP FUNCTION prepare_weeks(integer)")
    op.execute("DROP FUNCTION make_week(text, timestamptz)")
    op.execute("DROP FUNCTION task_id_at(timestamptz)")
    op.execute("ALTER TABLE tasks_former RENAME TO tasks")
    op.execute("ALTER TABLE tasks ADD CONSTRAINT tasks_pkey PRIMARY KEY (task_id)")
    for statement in _of_the_first_revision("ALTER TABLE tasks SET", r"CREATE (UNIQUE )?INDEX", ".*history"):
        op.execute(statement)
    op.execute("INSERT INTO history SELECT * FROM kept")


def _of_the_first_revision(*beginnings: str) -> list[str]:
    """Its statements that begin so, in order."""
    scripts = op.get_context().script
    assert scripts is not None, "Alembic runs this from its scripts"
    statements: tuple[str, ...] = scripts.get_revision("0001").module._STATEMENTS  # noqa: SLF001 - a migration is a script
    return [each for each in statements if any(re.match(begin, each.strip()) for begin in beginnings)]
