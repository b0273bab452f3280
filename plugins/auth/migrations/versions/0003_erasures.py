"""when somebody asked to be erased, so that no erasure is lost with a job

Down: who is being erased stays switched off, and an administrator deletes them again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("auth_users", sa.Column("erase_asked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        op.f("ix_auth_users_tenant_id_erase_asked_at"),
        "auth_users",
        ["tenant_id", "erase_asked_at"],
        unique=False,
        postgresql_where=sa.literal_column("erase_asked_at is not null"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_auth_users_tenant_id_erase_asked_at"), table_name="auth_users")
    op.drop_column("auth_users", "erase_asked_at")
