"""sessions, their events, and sign-ups that wait for a mailed link; sessions from before had no row, and end

Down: what came before knows no reset that is forced. A password that must be reset was declared stolen, so it goes:
its owner gets in by a link of an administrator's.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.data.migrations import fence

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "auth_signups",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("display_name", sa.String(length=100), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_signups")),
        sa.UniqueConstraint("tenant_id", "digest", name=op.f("uq_auth_signups_tenant_id_digest")),
    )
    fence("auth_signups")
    op.create_index(op.f("ix_auth_signups_tenant_id_email"), "auth_signups", ["tenant_id", "email"], unique=False)
    op.create_index(
        op.f("ix_auth_signups_tenant_id_expires_at"), "auth_signups", ["tenant_id", "expires_at"], unique=False
    )
    op.create_table(
        "auth_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=254), nullable=True),
        sa.Column("ip", sa.String(length=45), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["auth_users.tenant_id", "auth_users.id"],
            name=op.f("fk_auth_events_tenant_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_events")),
    )
    fence("auth_events")
    op.create_index(
        op.f("ix_auth_events_tenant_id_account_id"), "auth_events", ["tenant_id", "account", "id"], unique=False
    )
    op.create_index(
        op.f("ix_auth_events_tenant_id_kind_created_at"),
        "auth_events",
        ["tenant_id", "kind", "created_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_auth_events_tenant_id_session_id_id"), "auth_events", ["tenant_id", "session_id", "id"], unique=False
    )
    op.create_index(
        op.f("ix_auth_events_tenant_id_user_id_id"), "auth_events", ["tenant_id", "user_id", "id"], unique=False
    )
    op.create_table(
        "auth_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_reason", sa.String(length=40), nullable=True),
        sa.Column("ip", sa.String(length=45), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["auth_users.tenant_id", "auth_users.id"],
            name=op.f("fk_auth_sessions_tenant_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_sessions")),
        # room in each page for the next version of a row: a refresh then touches no index
        postgresql_with={"fillfactor": 70},
    )
    fence("auth_sessions")
    op.create_index(
        "ix_auth_sessions_ended",
        "auth_sessions",
        ["tenant_id", sa.literal_column("coalesce(revoked_at, expires_at)")],
        unique=False,
    )
    op.create_index(op.f("ix_auth_sessions_tenant_id_user_id"), "auth_sessions", ["tenant_id", "user_id"], unique=False)
    op.create_index(op.f("ix_auth_links_tenant_id_expires_at"), "auth_links", ["tenant_id", "expires_at"], unique=False)
    op.add_column("auth_users", sa.Column("must_reset", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.alter_column("auth_users", "must_reset", server_default=None)
    op.add_column("auth_users", sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_column("auth_users", "first_session")


def downgrade() -> None:
    users = sa.table("auth_users", sa.column("password_hash"), sa.column("must_reset", sa.Boolean()))
    op.execute(sa.update(users).where(users.c.must_reset).values(password_hash=None))
    op.add_column("auth_users", sa.Column("first_session", sa.UUID(), autoincrement=False, nullable=True))
    op.drop_column("auth_users", "email_verified_at")
    op.drop_column("auth_users", "must_reset")
    op.drop_index(op.f("ix_auth_links_tenant_id_expires_at"), table_name="auth_links")
    op.drop_index(op.f("ix_auth_sessions_tenant_id_user_id"), table_name="auth_sessions")
    op.drop_index("ix_auth_sessions_ended", table_name="auth_sessions")
    op.drop_table("auth_sessions")
    op.drop_index(op.f("ix_auth_events_tenant_id_user_id_id"), table_name="auth_events")
    op.drop_index(op.f("ix_auth_events_tenant_id_session_id_id"), table_name="auth_events")
    op.drop_index(op.f("ix_auth_events_tenant_id_kind_created_at"), table_name="auth_events")
    op.drop_index(op.f("ix_auth_events_tenant_id_account_id"), table_name="auth_events")
    op.drop_table("auth_events")
    op.drop_index(op.f("ix_auth_signups_tenant_id_expires_at"), table_name="auth_signups")
    op.drop_index(op.f("ix_auth_signups_tenant_id_email"), table_name="auth_signups")
    op.drop_table("auth_signups")
