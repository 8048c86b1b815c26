"""How often each subject has called, and the function that lets calls through or not."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # Written with every draw and read by its key alone: half-filled pages keep new versions of a row beside the old.
    """
    CREATE UNLOGGED TABLE rate_levels (
        subject text NOT NULL,
        arrival double precision NOT NULL,
        CONSTRAINT rate_levels_pkey PRIMARY KEY (subject)
    ) WITH (fillfactor = 50)
    """,
    # The twin of app/protocol/rates.draw, judged by this server's clock once the subject's row is locked.
    """
    CREATE FUNCTION draw_rate(of_subject text, rate_limit integer, window_s double precision, wanted integer,
                              more integer, ahead integer, hold_s double precision,
                              OUT granted boolean, OUT beyond integer, OUT debt_s double precision)
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    DECLARE
        slack CONSTANT double precision := 0.05;
        interval_s double precision := window_s / rate_limit;
        moment double precision;
        reached double precision;
        at_once integer;
        held integer;
    BEGIN
        LOOP
            SELECT arrival INTO reached FROM rate_levels WHERE subject = of_subject FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO rate_levels VALUES (of_subject, 0) ON CONFLICT DO NOTHING;
        END LOOP;
        moment := extract(epoch FROM clock_timestamp());
        reached := greatest(reached, moment);
        at_once := floor((moment + window_s - reached) / interval_s + slack);
        granted := at_once >= wanted;
        beyond := 0;
        IF granted THEN
            at_once := least(at_once, wanted + more);
            reached := reached + at_once * interval_s;
            held := least(ahead,
                floor((moment + window_s - greatest(reached, moment + hold_s)) / interval_s + slack)::integer);
            IF held > 0 THEN
                reached := greatest(reached, moment + hold_s) + held * interval_s;
            END IF;
            beyond := at_once - wanted + greatest(held, 0);
            UPDATE rate_levels SET arrival = reached WHERE subject = of_subject;
        END IF;
        debt_s := reached - moment;
    END
    $$
    """,
)


def upgrade() -> None:
    """Makes both; nothing that is there is touched."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drops both."""
    op.execute("DROP FUNCTION draw_rate(text, integer, double precision, integer, integer, integer, double precision)")
    op.execute("DROP TABLE rate_levels")
