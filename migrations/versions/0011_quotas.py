"""Quotas: what is set for single submitters, and what each submitter uses."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE quotas (
        submitter text NOT NULL,
        queued bigint,
        running bigint,
        held jsonb,
        stored_bytes bigint,
        rate text,
        weight double precision,
        set_at timestamptz NOT NULL,
        set_by text NOT NULL,
        CONSTRAINT quotas_pkey PRIMARY KEY (submitter)
    )
    """,
    # Written with nearly every batch of changes: half-filled pages keep new versions of a row beside the old.
    """
    CREATE TABLE quota_usage (
        submitter text NOT NULL,
        queued bigint NOT NULL DEFAULT 0,
        running bigint NOT NULL DEFAULT 0,
        stored_bytes bigint NOT NULL DEFAULT 0,
        held jsonb NOT NULL DEFAULT '{}',
        CONSTRAINT quota_usage_pkey PRIMARY KEY (submitter)
    ) WITH (fillfactor = 50)
    """,
    # Has its one row as soon as use is counted, which is not before the first quota is set.
    "CREATE TABLE quota_counting (since timestamptz NOT NULL)",
    """
    CREATE FUNCTION add_amounts(one jsonb, other jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE AS $$
        SELECT coalesce(jsonb_object_agg(unit, amount) FILTER (WHERE amount <> 0), '{}') FROM (
            SELECT key AS unit, sum(value::bigint)::bigint AS amount
            FROM (SELECT * FROM jsonb_each_text(one) UNION ALL SELECT * FROM jsonb_each_text(other)) AS both_of_them
            GROUP BY key
        ) AS added
    $$
    """,
    # As before, and what is erased is given back.
    """
    CREATE OR REPLACE FUNCTION erase_content(of_task uuid, by_whom text) RETURNS SETOF erasures
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE
        erased bigint;
    BEGIN
        -- Locked before the task, as by the journal, so that neither locks the other out.
        PERFORM FROM quota_usage WHERE submitter = (SELECT submitter FROM tasks WHERE task_id = of_task) FOR UPDATE;
        PERFORM FROM tasks WHERE task_id = of_task AND finished_at IS NOT NULL FOR UPDATE;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        SELECT octet_length(submission::text) + coalesce(octet_length(result::text), 0) - octet_length('null')
            INTO erased FROM tasks WHERE task_id = of_task;
        INSERT INTO erasures VALUES (of_task, clock_timestamp(), by_whom) ON CONFLICT DO NOTHING;
        UPDATE tasks SET submission = 'null', labels = '{}', progress_details = NULL, error = NULL, result = NULL,
            waiting = NULL, warning = NULL, encryption = NULL, callback = false, version = version + 1
            WHERE task_id = of_task AND submission::text <> 'null';
        UPDATE quota_usage SET stored_bytes = stored_bytes - erased
            WHERE submitter = (SELECT submitter FROM tasks WHERE task_id = of_task);
        UPDATE history SET message = NULL, erased_at = clock_timestamp(),
            message_digest = encode(sha256(convert_to(message::text, 'UTF8')), 'hex')
            WHERE task_id = of_task AND message IS NOT NULL;
        -- What could not be delivered yet has no content any more.
        DELETE FROM deliveries WHERE task_id = of_task;
        DELETE FROM delivery_attempts WHERE task_id = of_task;
        RETURN QUERY SELECT * FROM erasures WHERE task_id = of_task;
    END
    $$
    """,
)


def upgrade() -> None:
    """Makes empty tables: nothing is counted until a quota is set."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drops them: what admins have set is gone."""
    scripts = op.get_context().script
    assert scripts is not None, "Alembic runs this from its scripts"
    former = [each for each in scripts.get_revision("0010").module._STATEMENTS if "erase_content" in each]  # noqa: SLF001 - a migration is a script
    op.execute(former[0].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.execute("DROP FUNCTION add_amounts(jsonb, jsonb)")
    op.execute("DROP TABLE quotas, quota_usage, quota_counting")
