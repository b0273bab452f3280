"""imports, and the audit log found by resource"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.data.migrations import fence

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "core_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("resource", sa.String(length=200), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=True),
        sa.Column("next_row", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_imports")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_core_imports_tenant_id_id")),
    )
    fence("core_imports")
    op.create_index(
        op.f("ix_core_imports_tenant_id_updated_at"), "core_imports", ["tenant_id", "updated_at"], unique=False
    )
    op.create_table(
        "core_import_faults",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=80), nullable=False),
        sa.Column("field", sa.String(length=200), nullable=True),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "import_id"],
            ["core_imports.tenant_id", "core_imports.id"],
            name=op.f("fk_core_import_faults_tenant_id_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_import_faults")),
        sa.UniqueConstraint(
            "tenant_id", "import_id", "row", name=op.f("uq_core_import_faults_tenant_id_import_id_row")
        ),
    )
    fence("core_import_faults")
    op.create_index(
        op.f("ix_core_audit_tenant_id_kind_resource_id_id"),
        "core_audit",
        ["tenant_id", "kind", "resource_id", "id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_core_audit_tenant_id_kind_resource_id_id"), table_name="core_audit")
    op.drop_table("core_import_faults")
    op.drop_index(op.f("ix_core_imports_tenant_id_updated_at"), table_name="core_imports")
    op.drop_table("core_imports")
