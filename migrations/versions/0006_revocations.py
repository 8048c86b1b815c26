"""Tokens that count no more although they have not expired."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table of its own: the version before neither reads nor misses it."""
    op.execute(
        """
        CREATE TABLE revocations (
            revocation_id uuid NOT NULL,
            kind text NOT NULL,
            value text NOT NULL,
            until timestamptz NOT NULL,
            revoked_at timestamptz NOT NULL,
            revoked_by text NOT NULL,
            CONSTRAINT revocations_pkey PRIMARY KEY (revocation_id),
            CONSTRAINT revocations_kind_known CHECK (kind IN ('subject', 'token_id')),
            CONSTRAINT revocations_named_once UNIQUE (kind, value)
        )
        """
    )


def downgrade() -> None:
    """Revoked tokens are valid again."""
    op.execute("DROP TABLE revocations")
