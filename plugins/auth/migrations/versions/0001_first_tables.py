"""first tables: people, and the links that let somebody in once"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.data.migrations import fence

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "auth_users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("display_name", sa.String(length=100), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("first_session", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_users")),
        sa.UniqueConstraint("tenant_id", "email", name="uq_auth_users_email"),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_auth_users_tenant_id_id")),
    )
    fence("auth_users")
    op.create_table(
        "auth_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["auth_users.tenant_id", "auth_users.id"],
            name=op.f("fk_auth_links_tenant_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_links")),
        sa.UniqueConstraint("tenant_id", "digest", name=op.f("uq_auth_links_tenant_id_digest")),
    )
    fence("auth_links")
    op.create_index(op.f("ix_auth_links_tenant_id_user_id"), "auth_links", ["tenant_id", "user_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_auth_links_tenant_id_user_id"), table_name="auth_links")
    op.drop_table("auth_links")
    op.drop_table("auth_users")
