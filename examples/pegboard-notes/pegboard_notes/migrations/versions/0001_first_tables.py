"""first tables: notes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.data.migrations import fence

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "notes_notes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes_notes")),
    )
    fence("notes_notes")
    op.create_index(
        op.f("ix_notes_notes_tenant_id_owner_id_created_at_id"),
        "notes_notes",
        ["tenant_id", "owner_id", "created_at", "id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_notes_notes_tenant_id_owner_id_created_at_id"), table_name="notes_notes")
    op.drop_table("notes_notes")
