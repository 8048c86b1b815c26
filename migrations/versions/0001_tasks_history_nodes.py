"""Tasks, their history, and the nodes that serve them."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE tasks (
        task_id uuid NOT NULL,
        message_id text NOT NULL,
        idempotency_key text NOT NULL,
        content_digest bytea NOT NULL,
        submitter text NOT NULL,
        type text NOT NULL,
        priority smallint NOT NULL,
        submission json NOT NULL,
        deadline timestamptz,
        labels jsonb NOT NULL,
        requested json NOT NULL,
        shape text NOT NULL,
        timeout_s double precision NOT NULL,
        retry json NOT NULL,
        submitted_at timestamptz NOT NULL,
        retry_of uuid,
        state text NOT NULL,
        version integer NOT NULL,
        attempt integer NOT NULL,
        allocation_attempts integer NOT NULL,
        progress double precision,
        progress_details json,
        reason text,
        error json,
        result json,
        waiting json,
        allocated json NOT NULL,
        used json NOT NULL,
        run_at timestamptz,
        started_at timestamptz,
        finished_at timestamptz,
        updated_at timestamptz NOT NULL,
        cancel_requested_at timestamptz,
        acknowledged_sequence integer NOT NULL,
        sequence integer NOT NULL,
        head_hash text NOT NULL,
        lease_owner text,
        lease_expires_at timestamptz,
        cancel_requested_by text,
        acknowledgement_wanted integer,
        CONSTRAINT tasks_pkey PRIMARY KEY (task_id),
        CONSTRAINT tasks_state_known CHECK (state IN ('Submitted', 'Validating', 'Rejected', 'ResourceAllocation',
            'Waiting', 'Executing', 'Completing', 'Completed', 'Failed')),
        CONSTRAINT tasks_reason_known CHECK (reason IS NULL OR reason IN ('validation_failed',
            'resource_unavailable', 'execution_error', 'timed_out', 'deadline_exceeded', 'cancelled',
            'executor_lost', 'result_too_large')),
        CONSTRAINT tasks_finished_when_terminal
            CHECK ((state IN ('Completed', 'Failed', 'Rejected')) = (finished_at IS NOT NULL)),
        CONSTRAINT tasks_reason_when_not_completed
            CHECK ((state IN ('Failed', 'Rejected')) = (reason IS NOT NULL)),
        CONSTRAINT tasks_due_when_waiting CHECK ((state = 'Waiting') = (run_at IS NOT NULL)),
        CONSTRAINT tasks_lease_whole CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL)),
        CONSTRAINT tasks_no_lease_when_terminal
            CHECK (lease_owner IS NULL OR NOT (state IN ('Completed', 'Failed', 'Rejected')))
    )
    """,
    # Half-filled pages leave room beside each row for its two later versions.
    """
    ALTER TABLE tasks SET
        (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)
    """,
    "CREATE UNIQUE INDEX tasks_idempotency_key ON tasks (submitter, idempotency_key) WHERE state <> 'Rejected'",
    "CREATE INDEX tasks_submitter ON tasks (submitter, task_id)",
    "CREATE INDEX tasks_queued ON tasks (priority, task_id) WHERE state = 'ResourceAllocation' AND lease_owner IS NULL",
    "CREATE INDEX tasks_due ON tasks (run_at) WHERE state = 'Waiting' AND lease_owner IS NULL",
    "CREATE INDEX tasks_leased ON tasks (lease_owner) WHERE lease_owner IS NOT NULL",
    "CREATE INDEX tasks_deadline ON tasks (deadline) WHERE deadline IS NOT NULL AND finished_at IS NULL",
    """
    CREATE INDEX tasks_acknowledgement_wanted ON tasks (task_id)
        WHERE acknowledgement_wanted > acknowledged_sequence
    """,
    """
    CREATE TABLE history (
        task_id uuid NOT NULL,
        sequence integer NOT NULL,
        name text NOT NULL,
        sender text NOT NULL,
        recipient text NOT NULL,
        recorded_at timestamptz NOT NULL,
        status text NOT NULL,
        message json NOT NULL,
        previous_hash text NOT NULL,
        hash text NOT NULL,
        CONSTRAINT history_pkey PRIMARY KEY (task_id, sequence, recorded_at)
    ) PARTITION BY RANGE (recorded_at)
    """,
    # Takes what belongs to no week that has been prepared, so that an insert can never fail for want of one.
    "CREATE TABLE history_default PARTITION OF history DEFAULT",
    # With its owner's rights: the service itself need not be allowed to create tables.
    """
    CREATE FUNCTION prepare_history(weeks integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE
        first timestamptz := date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
        week timestamptz;
        partition text;
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('task_executor.prepare_history'));
        FOR number IN 0 .. weeks LOOP
            week := first + number * interval '7 days';
            partition := 'history_' || to_char(week AT TIME ZONE 'UTC', 'IYYY"w"IW');
            IF to_regclass(partition) IS NULL THEN
                BEGIN
                    EXECUTE format('CREATE TABLE %I PARTITION OF history FOR VALUES FROM (%L) TO (%L)',
                                   partition, week, week + interval '7 days');
                EXCEPTION WHEN check_violation THEN
                    -- A clock that was ahead has put messages of that week into the default: it stays there.
                    RAISE WARNING '% is not made: history_default holds messages of that week', partition;
                END;
            END IF;
        END LOOP;
    END
    $$
    """,
    "SELECT prepare_history(4)",
    """
    CREATE TABLE nodes (
        node_id text NOT NULL,
        started_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        resources json NOT NULL,
        CONSTRAINT nodes_pkey PRIMARY KEY (node_id)
    )
    """,
)


def upgrade() -> None:
    """Makes everything."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drops everything: all tasks are gone."""
    op.execute("DROP TABLE nodes, history, tasks")
    op.execute("DROP FUNCTION prepare_history(integer)")
