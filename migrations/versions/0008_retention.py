"""Dropping weeks: what retention does, with its owner's rights and short locks."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE prunings (
        week text NOT NULL,
        pruned_at timestamptz NOT NULL,
        finished_before timestamptz NOT NULL,
        dropped bigint NOT NULL,
        kept bigint NOT NULL,
        CONSTRAINT prunings_pkey PRIMARY KEY (week)
    )
    """,
    """
    CREATE FUNCTION week_ends(week text) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT (to_date(week, 'IYYY"w"IW') + 7)::timestamp AT TIME ZONE 'UTC'
    $$
    """,
    # The younger keys become the older ones, and what was there is forgotten.
    """
    CREATE FUNCTION turn_keys() RETURNS void
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
        TRUNCATE idempotency_keys_before;
        ALTER TABLE idempotency_keys_before RENAME TO idempotency_keys_next;
        ALTER INDEX idempotency_keys_before_pkey RENAME TO idempotency_keys_next_pkey;
        ALTER TABLE idempotency_keys RENAME TO idempotency_keys_before;
        ALTER INDEX idempotency_keys_pkey RENAME TO idempotency_keys_before_pkey;
        ALTER TABLE idempotency_keys_next RENAME TO idempotency_keys;
        ALTER INDEX idempotency_keys_next_pkey RENAME TO idempotency_keys_pkey;
        UPDATE retention SET keys_since = clock_timestamp();
    END
    $$
    """,
    # The few that outlive their week are found before anything is locked; they can only become fewer afterwards.
    # `dropped` is null where they are not few: the week is left as it is.
    """
    CREATE FUNCTION prune_week(week text, finished_before timestamptz, OUT dropped bigint, OUT kept bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '500ms' AS $$
    DECLARE
        tasks_of_week text := 'tasks_' || week;
        history_of_week text := 'history_' || week;
        ends timestamptz := week_ends(week);
        oldest text;
        stragglers uuid[];
    BEGIN
        IF week !~ '^[0-9]{4}w[0-9]{2}$' OR ends > finished_before OR finished_before > now() - interval '1 day' THEN
            RAISE EXCEPTION 'week % cannot be pruned: it has not been over for a day', week;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('task_executor.weeks'));
        SELECT min(relname) INTO oldest FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = 'tasks'::regclass AND relname ~ '^tasks_[0-9]{4}w[0-9]{2}$';
        IF oldest IS NULL OR tasks_of_week < oldest THEN
            -- Another node was first.
            dropped := 0;
            kept := 0;
            RETURN;
        ELSIF tasks_of_week > oldest THEN
            RAISE EXCEPTION 'week % cannot be pruned before %', week, oldest;
        END IF;
        EXECUTE format('SELECT count(*), coalesce(array_agg(task_id) FILTER '
                       '(WHERE finished_at IS NULL OR finished_at >= $1), ''{}'') FROM %I', tasks_of_week)
            INTO dropped, stragglers USING finished_before;
        kept := cardinality(stragglers);
        IF kept > 10000 THEN
            dropped := NULL;
            RETURN;
        END IF;
        dropped := dropped - kept;
        -- In the order in which the journal locks them, or the two would wait for each other.
        LOCK TABLE ONLY idempotency_keys, ONLY idempotency_keys_before, ONLY tasks, ONLY history
            IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('ALTER TABLE tasks DETACH PARTITION %I', tasks_of_week);
        EXECUTE format('ALTER TABLE history DETACH PARTITION %I', history_of_week);
        EXECUTE format('INSERT INTO tasks_default SELECT * FROM %I WHERE task_id = ANY($1)', tasks_of_week)
            USING stragglers;
        EXECUTE format('INSERT INTO history_default SELECT * FROM %I WHERE task_id = ANY($1)', history_of_week)
            USING stragglers;
        EXECUTE format('DROP TABLE %I, %I', tasks_of_week, history_of_week);
        IF (SELECT keys_since <= ends FROM retention) THEN
            PERFORM turn_keys();
        END IF;
        -- Among the younger ones, where they hold whatever the oldest kept id is.
        INSERT INTO idempotency_keys
            SELECT submitter, idempotency_key, task_id FROM tasks_default
            WHERE state <> 'Rejected' AND task_id < task_id_at(ends)
            ON CONFLICT DO NOTHING;
        UPDATE retention SET oldest_kept = task_id_at(ends);
        INSERT INTO prunings VALUES (week, clock_timestamp(), finished_before, dropped, kept);
    END
    $$
    """,
    # Those that have outlived their week go one by one; they were few.
    """
    CREATE FUNCTION prune_stragglers(finished_before timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '500ms' AS $$
    DECLARE
        gone uuid[];
    BEGIN
        IF finished_before > now() - interval '1 day' THEN
            RAISE EXCEPTION 'what was finished less than a day ago is not pruned';
        END IF;
        gone := ARRAY(
            SELECT task_id FROM tasks_default WHERE finished_at < finished_before ORDER BY task_id LIMIT 1000
        );
        DELETE FROM idempotency_keys AS k USING tasks_default AS t
            WHERE t.task_id = ANY(gone) AND k.submitter = t.submitter AND k.idempotency_key = t.idempotency_key
                AND k.task_id = t.task_id;
        DELETE FROM idempotency_keys_before AS k USING tasks_default AS t
            WHERE t.task_id = ANY(gone) AND k.submitter = t.submitter AND k.idempotency_key = t.idempotency_key
                AND k.task_id = t.task_id;
        DELETE FROM history_default WHERE task_id = ANY(gone);
        DELETE FROM tasks_default WHERE task_id = ANY(gone);
        RETURN cardinality(gone);
    END
    $$
    """,
)


def upgrade() -> None:
    """Adds functions and the record of what they did; the service that runs knows none of them."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Nothing is dropped any more."""
    op.execute("DROP FUNCTION prune_stragglers(timestamptz)")
    op.execute("DROP FUNCTION prune_week(text, timestamptz)")
    op.execute("DROP FUNCTION turn_keys()")
    op.execute("DROP FUNCTION week_ends(text)")
    op.execute("DROP TABLE prunings")
