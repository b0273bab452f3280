"""first tables: the two logs, idempotency keys, notifications, role assignments

The audit log is append-only for everybody, its owner included: a trigger lets the sealer fill in the seal once, and
erasure delete.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.data.migrations import fence

revision = "0001"
down_revision = None

AUDIT_GUARD = """
create function core_audit_guard() returns trigger language plpgsql as $$
declare
    bypass text := coalesce(current_setting('pegboard.bypass', true), '');
    kept core_audit;
begin
    if tg_op = 'UPDATE' then
        kept := new;
        kept.seq := old.seq;
        kept.previous_hash := old.previous_hash;
        kept.hash := old.hash;
        -- *= compares the bytes themselves: 1.0 and 1.00 differ.
        if bypass = 'audit sealer' and kept *= old
            and old.seq is null and old.previous_hash is null and old.hash is null
            and new.seq is not null and new.previous_hash is not null and new.hash is not null
        then
            return new;
        end if;
    elsif tg_op in ('DELETE', 'TRUNCATE') and bypass = 'erasure' then
        return old;
    end if;
    raise exception 'core_audit is append-only: % is refused', lower(tg_op)
        using errcode = 'insufficient_privilege',
              hint = 'Only erasure deletes, after set_config(''pegboard.bypass'', ''erasure'', true).';
end $$
"""
AUDIT_TRIGGERS = """
create trigger core_audit_sealed_later before insert on core_audit for each row
    when (num_nonnulls(new.seq, new.previous_hash, new.hash) > 0) execute function core_audit_guard();
create trigger core_audit_guard before update or delete on core_audit for each row
    execute function core_audit_guard();
create trigger core_audit_guard_all before truncate on core_audit for each statement
    execute function core_audit_guard()
"""


def upgrade() -> None:
    op.create_table(
        "core_audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.String(length=20), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("acting_reason", sa.String(length=500), nullable=True),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=80), nullable=True),
        sa.Column("resource_id", sa.String(length=200), nullable=True),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_audit")),
        sa.UniqueConstraint("seq", name=op.f("uq_core_audit_seq")),
    )
    fence("core_audit", shared=True)
    op.create_index(op.f("ix_core_audit_tenant_id_at_id"), "core_audit", ["tenant_id", "at", "id"], unique=False)
    op.create_index(
        "ix_core_audit_unsealed", "core_audit", ["id"], unique=False, postgresql_where=sa.text("seq is null")
    )
    op.execute(AUDIT_GUARD)
    op.execute(AUDIT_TRIGGERS)
    op.create_table(
        "core_idempotency",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("principal", sa.String(length=60), nullable=False),
        sa.Column("route", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("headers", postgresql.JSONB(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_idempotency")),
        sa.UniqueConstraint(
            "tenant_id", "principal", "route", "key", name=op.f("uq_core_idempotency_tenant_id_principal_route_key")
        ),
    )
    fence("core_idempotency")
    op.create_index(
        op.f("ix_core_idempotency_tenant_id_created_at"), "core_idempotency", ["tenant_id", "created_at"], unique=False
    )
    op.create_table(
        "core_notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=True),
        sa.Column("kind", sa.String(length=80), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_notifications")),
        sa.UniqueConstraint("tenant_id", "user_id", "key", name=op.f("uq_core_notifications_tenant_id_user_id_key")),
    )
    fence("core_notifications")
    op.create_index(
        op.f("ix_core_notifications_tenant_id_user_id_id"),
        "core_notifications",
        ["tenant_id", "user_id", "id"],
        unique=False,
    )
    op.create_table(
        "core_outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("context", postgresql.JSONB(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(length=500), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_outbox")),
    )
    fence("core_outbox", shared=True)
    op.create_index("ix_core_outbox_due_at", "core_outbox", ["due_at"], unique=False)
    op.create_table(
        "core_role_assignments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("resource_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(kind is null) = (resource_id is null)", name=op.f("ck_core_role_assignments_whole")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_role_assignments")),
    )
    fence("core_role_assignments")
    op.create_index(
        "uq_core_role_assignments_once",
        "core_role_assignments",
        [
            "tenant_id",
            "principal_id",
            "role",
            sa.literal_column("coalesce(kind, '')"),
            sa.literal_column("coalesce(resource_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
        ],
        unique=True,
    )


def downgrade() -> None:
    op.drop_index("uq_core_role_assignments_once", table_name="core_role_assignments")
    op.drop_table("core_role_assignments")
    op.drop_index("ix_core_outbox_due_at", table_name="core_outbox")
    op.drop_table("core_outbox")
    op.drop_index(op.f("ix_core_notifications_tenant_id_user_id_id"), table_name="core_notifications")
    op.drop_table("core_notifications")
    op.drop_index(op.f("ix_core_idempotency_tenant_id_created_at"), table_name="core_idempotency")
    op.drop_table("core_idempotency")
    op.drop_index("ix_core_audit_unsealed", table_name="core_audit", postgresql_where=sa.text("seq is null"))
    op.drop_index(op.f("ix_core_audit_tenant_id_at_id"), table_name="core_audit")
    op.drop_table("core_audit")
    op.execute("drop function core_audit_guard()")
