"""what a queue has taken stays for a moment; the sweep finds what is next"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("core_outbox", sa.Column("handed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_core_outbox_handed_at",
        "core_outbox",
        ["handed_at"],
        unique=False,
        postgresql_where=sa.text("handed_at is not null"),
    )
    op.create_index(
        "ix_core_outbox_next",
        "core_outbox",
        [sa.literal_column("coalesce(due_at, created_at)"), "id"],
        unique=False,
        postgresql_where=sa.text("handed_at is null"),
    )
    op.drop_index("ix_core_outbox_due_at", table_name="core_outbox")


def downgrade() -> None:
    op.create_index("ix_core_outbox_due_at", "core_outbox", ["due_at"], unique=False)
    op.drop_index("ix_core_outbox_next", table_name="core_outbox", postgresql_where=sa.text("handed_at is null"))
    op.drop_index(
        "ix_core_outbox_handed_at", table_name="core_outbox", postgresql_where=sa.text("handed_at is not null")
    )
    op.drop_column("core_outbox", "handed_at")
