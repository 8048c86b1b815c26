"""Erasing the content of a task: the messages go, their digests stay, and with them the chain."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "ALTER TABLE history ALTER COLUMN message DROP NOT NULL",
    "ALTER TABLE history ADD COLUMN message_digest text, ADD COLUMN erased_at timestamptz",
    """
    CREATE TABLE erasures (
        task_id uuid NOT NULL,
        erased_at timestamptz NOT NULL,
        erased_by text NOT NULL,
        CONSTRAINT erasures_pkey PRIMARY KEY (task_id)
    )
    """,
    # The one way in which a message ever changes. The version grows, so that a writer who has read the task before
    # does not write its content back.
    """
    CREATE FUNCTION erase_content(of_task uuid, by_whom text) RETURNS SETOF erasures
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    BEGIN
        PERFORM FROM tasks WHERE task_id = of_task AND finished_at IS NOT NULL FOR UPDATE;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        INSERT INTO erasures VALUES (of_task, clock_timestamp(), by_whom) ON CONFLICT DO NOTHING;
        UPDATE tasks SET submission = 'null', labels = '{}', progress_details = NULL, error = NULL, result = NULL,
            waiting = NULL, warning = NULL, encryption = NULL, callback = false, version = version + 1
            WHERE task_id = of_task AND submission::text <> 'null';
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
    """Adds two columns, which rewrites nothing, and the function."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """What was erased stays so; its histories cannot be verified any more."""
    op.execute("DROP FUNCTION erase_content(uuid, text)")
    op.execute("DROP TABLE erasures")
    op.execute("UPDATE history SET message = 'null' WHERE message IS NULL")
    op.execute("ALTER TABLE history DROP COLUMN message_digest, DROP COLUMN erased_at")
    op.execute("ALTER TABLE history ALTER COLUMN message SET NOT NULL")
