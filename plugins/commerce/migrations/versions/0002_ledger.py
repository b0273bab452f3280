"""accounts, ledger, transfers

The ledger is append-only, its owner included, and a posting whose entries do not sum to zero cannot be committed: two
triggers see to that, whatever the code above them does.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.data.migrations import fence

revision = "0002"
down_revision = "0001"

GUARD = """
create function commerce_ledger_guard() returns trigger language plpgsql as $$
begin
    if coalesce(current_setting('pegboard.bypass', true), '') in ('erasure', 'migration') then
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    raise exception 'the ledger is append-only: post a correction' using errcode = 'integrity_constraint_violation';
end $$
"""
BALANCED = """
create function commerce_posting_balanced() returns trigger language plpgsql as $$
declare
    total numeric;
begin
    select sum(amount) into total from commerce_entries
        where tenant_id = new.tenant_id and posting_id = new.posting_id;
    if total <> 0 then
        raise exception 'a posting does not sum to zero' using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$
"""
TRIGGERS = """
create trigger commerce_postings_guard before update or delete on commerce_postings for each row
    execute function commerce_ledger_guard();
create trigger commerce_entries_guard before update or delete on commerce_entries for each row
    execute function commerce_ledger_guard();
create constraint trigger commerce_entries_balanced after insert on commerce_entries
    deferrable initially deferred for each row execute function commerce_posting_balanced()
"""


def upgrade() -> None:
    op.create_table(
        "commerce_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("overdraft", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('customer', 'house', 'opening')", name=op.f("ck_commerce_accounts_kind")),
        sa.CheckConstraint("status in ('open', 'closed')", name=op.f("ck_commerce_accounts_status")),
        sa.CheckConstraint("balance >= 0 or overdraft", name=op.f("ck_commerce_accounts_balance")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commerce_accounts")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_commerce_accounts_tenant_id_id")),
    )
    fence("commerce_accounts")
    op.create_index(
        op.f("ix_commerce_accounts_tenant_id_created_at_id"),
        "commerce_accounts",
        ["tenant_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_accounts_tenant_id_name_id"), "commerce_accounts", ["tenant_id", "name", "id"], unique=False
    )
    op.create_index(
        op.f("ix_commerce_accounts_tenant_id_owner_id_created_at_id"),
        "commerce_accounts",
        ["tenant_id", "owner_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_commerce_accounts_opening",
        "commerce_accounts",
        ["tenant_id", "currency"],
        unique=True,
        postgresql_where=sa.text("kind = 'opening'"),
    )
    op.create_table(
        "commerce_postings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("memo", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commerce_postings")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_commerce_postings_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "reference", name=op.f("uq_commerce_postings_tenant_id_reference")),
    )
    fence("commerce_postings")
    op.create_index(
        op.f("ix_commerce_postings_tenant_id_created_at_id"),
        "commerce_postings",
        ["tenant_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "commerce_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("posting_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_commerce_entries_amount")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["commerce_accounts.tenant_id", "commerce_accounts.id"],
            name=op.f("fk_commerce_entries_tenant_id_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "posting_id"],
            ["commerce_postings.tenant_id", "commerce_postings.id"],
            name=op.f("fk_commerce_entries_tenant_id_posting_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commerce_entries")),
    )
    fence("commerce_entries")
    op.create_index(
        op.f("ix_commerce_entries_tenant_id_account_id_id"),
        "commerce_entries",
        ["tenant_id", "account_id", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_entries_tenant_id_posting_id"), "commerce_entries", ["tenant_id", "posting_id"], unique=False
    )
    op.create_table(
        "commerce_transfers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("from_account_id", sa.Uuid(), nullable=False),
        sa.Column("to_account_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("memo", sa.String(length=500), nullable=False),
        sa.Column("posting_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_commerce_transfers_amount")),
        sa.CheckConstraint("from_account_id <> to_account_id", name=op.f("ck_commerce_transfers_accounts")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "posting_id"],
            ["commerce_postings.tenant_id", "commerce_postings.id"],
            name=op.f("fk_commerce_transfers_tenant_id_posting_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commerce_transfers")),
    )
    fence("commerce_transfers")
    op.create_index(
        op.f("ix_commerce_transfers_tenant_id_created_at_id"),
        "commerce_transfers",
        ["tenant_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_transfers_tenant_id_from_account_id_created_at_id"),
        "commerce_transfers",
        ["tenant_id", "from_account_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_transfers_tenant_id_owner_id_created_at_id"),
        "commerce_transfers",
        ["tenant_id", "owner_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_transfers_tenant_id_to_account_id_created_at_id"),
        "commerce_transfers",
        ["tenant_id", "to_account_id", "created_at", "id"],
        unique=False,
    )
    for statement in (GUARD, BALANCED, *TRIGGERS.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    op.drop_index(op.f("ix_commerce_transfers_tenant_id_to_account_id_created_at_id"), table_name="commerce_transfers")
    op.drop_index(op.f("ix_commerce_transfers_tenant_id_owner_id_created_at_id"), table_name="commerce_transfers")
    op.drop_index(
        op.f("ix_commerce_transfers_tenant_id_from_account_id_created_at_id"), table_name="commerce_transfers"
    )
    op.drop_index(op.f("ix_commerce_transfers_tenant_id_created_at_id"), table_name="commerce_transfers")
    op.drop_table("commerce_transfers")
    op.drop_index(op.f("ix_commerce_entries_tenant_id_posting_id"), table_name="commerce_entries")
    op.drop_index(op.f("ix_commerce_entries_tenant_id_account_id_id"), table_name="commerce_entries")
    op.drop_table("commerce_entries")
    op.drop_index(op.f("ix_commerce_postings_tenant_id_created_at_id"), table_name="commerce_postings")
    op.drop_table("commerce_postings")
    op.drop_index(
        "uq_commerce_accounts_opening", table_name="commerce_accounts", postgresql_where=sa.text("kind = 'opening'")
    )
    op.drop_index(op.f("ix_commerce_accounts_tenant_id_owner_id_created_at_id"), table_name="commerce_accounts")
    op.drop_index(op.f("ix_commerce_accounts_tenant_id_name_id"), table_name="commerce_accounts")
    op.drop_index(op.f("ix_commerce_accounts_tenant_id_created_at_id"), table_name="commerce_accounts")
    op.drop_table("commerce_accounts")
    op.execute("drop function commerce_posting_balanced()")
    op.execute("drop function commerce_ledger_guard()")
