"""effects that happen once"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.data.migrations import fence

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "core_effects",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_effects")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_core_effects_tenant_id_key")),
    )
    fence("core_effects")
    op.create_index(
        op.f("ix_core_effects_tenant_id_created_at"), "core_effects", ["tenant_id", "created_at"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_core_effects_tenant_id_created_at"), table_name="core_effects")
    op.drop_table("core_effects")
