"""what a queue has taken stays for a moment"""

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


def downgrade() -> None:
    op.drop_index(
        "ix_core_outbox_handed_at", table_name="core_outbox", postgresql_where=sa.text("handed_at is not null")
    )
    op.drop_column("core_outbox", "handed_at")
