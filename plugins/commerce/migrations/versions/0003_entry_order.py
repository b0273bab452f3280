"""the order of an account's entries

Each entry keeps the version to which it brought its account: ids alone do not tell which of two entries of one
millisecond came first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

locks = {"commerce_entries": "no release has filled it yet"}

NUMBER = """
update commerce_entries set version = numbered.version
from (
    select id, row_number() over (partition by tenant_id, account_id order by created_at, id) + 1 as version
    from commerce_entries
) numbered
where commerce_entries.id = numbered.id
"""


def upgrade() -> None:
    op.add_column("commerce_entries", sa.Column("version", sa.Integer(), nullable=True))
    op.execute(NUMBER)
    op.alter_column("commerce_entries", "version", nullable=False)
    op.create_index(
        "uq_commerce_entries_tenant_id_account_id_version",
        "commerce_entries",
        ["tenant_id", "account_id", "version"],
        unique=True,
    )
    op.drop_index(op.f("ix_commerce_entries_tenant_id_account_id_id"), table_name="commerce_entries")


def downgrade() -> None:
    op.create_index(
        op.f("ix_commerce_entries_tenant_id_account_id_id"),
        "commerce_entries",
        ["tenant_id", "account_id", "id"],
        unique=False,
    )
    op.drop_index("uq_commerce_entries_tenant_id_account_id_version", table_name="commerce_entries")
    op.drop_column("commerce_entries", "version")
