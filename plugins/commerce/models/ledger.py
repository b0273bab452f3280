"""Accounts and the double-entry ledger: each posting moves money between accounts, and its entries sum to zero.

Postings and entries are appended and never changed; two triggers see to both (migration 0002).
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.contracts import ResourceType
from core.data import TenantModel, Versioned
from core.trust import resource_type


class Account(Versioned, TenantModel):
    """``balance`` is the sum of its entries, in minor units; below zero only where ``overdraft`` allows it."""

    __tablename__ = "commerce_accounts"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "id"),
        sa.Index(None, "tenant_id", "created_at", "id"),
        sa.Index(None, "tenant_id", "name", "id"),
        sa.Index(None, "tenant_id", "owner_id", "created_at", "id"),
        sa.Index(
            "uq_commerce_accounts_opening",
            "tenant_id",
            "currency",
            unique=True,
            postgresql_where=sa.literal_column("kind = 'opening'"),
        ),
        sa.CheckConstraint("balance >= 0 or overdraft", name="balance"),
        sa.CheckConstraint("kind in ('customer', 'house', 'opening')", name="kind"),
        sa.CheckConstraint("status in ('open', 'closed')", name="status"),
    )

    owner_id: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)
    name: Mapped[str] = mapped_column(sa.String(200))
    kind: Mapped[str] = mapped_column(sa.String(20), default="customer")
    currency: Mapped[str] = mapped_column(sa.String(3))
    balance: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    overdraft: Mapped[bool] = mapped_column(sa.Boolean, default=False)
    status: Mapped[str] = mapped_column(sa.String(20), default="open")


class Posting(TenantModel):
    """One balanced transaction of the ledger. ``reference`` is the poster's own name for it, and stands once."""

    __tablename__ = "commerce_postings"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "reference"),
        sa.Index(None, "tenant_id", "created_at", "id"),
    )

    kind: Mapped[str] = mapped_column(sa.String(20))
    reference: Mapped[str | None] = mapped_column(sa.String(200), default=None)
    currency: Mapped[str] = mapped_column(sa.String(3))
    memo: Mapped[str] = mapped_column(sa.String(500), default="")


class Entry(TenantModel):
    """What a posting did to one account: ``amount`` added (or, below zero, taken), and the ``balance`` after it.

    ``version`` is the one to which it brought the account: the order of an account's entries.
    """

    __tablename__ = "commerce_entries"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id", "posting_id"], ["commerce_postings.tenant_id", "commerce_postings.id"]),
        sa.ForeignKeyConstraint(["tenant_id", "account_id"], ["commerce_accounts.tenant_id", "commerce_accounts.id"]),
        sa.Index(None, "tenant_id", "posting_id"),
        sa.Index("uq_commerce_entries_tenant_id_account_id_version", "tenant_id", "account_id", "version", unique=True),
        sa.CheckConstraint("amount <> 0", name="amount"),
    )

    posting_id: Mapped[UUID] = mapped_column(sa.Uuid)
    account_id: Mapped[UUID] = mapped_column(sa.Uuid)
    amount: Mapped[int] = mapped_column(sa.BigInteger)
    balance: Mapped[int] = mapped_column(sa.BigInteger)
    version: Mapped[int] = mapped_column(sa.Integer)


class Transfer(TenantModel):
    """Money that somebody moved from one account to another, by the posting ``posting_id``."""

    __tablename__ = "commerce_transfers"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id", "posting_id"], ["commerce_postings.tenant_id", "commerce_postings.id"]),
        sa.Index(None, "tenant_id", "created_at", "id"),
        sa.Index(None, "tenant_id", "from_account_id", "created_at", "id"),
        sa.Index(None, "tenant_id", "to_account_id", "created_at", "id"),
        sa.Index(None, "tenant_id", "owner_id", "created_at", "id"),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("from_account_id <> to_account_id", name="accounts"),
    )

    owner_id: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)
    from_account_id: Mapped[UUID] = mapped_column(sa.Uuid)
    to_account_id: Mapped[UUID] = mapped_column(sa.Uuid)
    amount: Mapped[int] = mapped_column(sa.BigInteger)
    currency: Mapped[str] = mapped_column(sa.String(3))
    memo: Mapped[str] = mapped_column(sa.String(500), default="")
    posting_id: Mapped[UUID] = mapped_column(sa.Uuid)


ACCOUNT = resource_type(ResourceType("account", "accounts", Account, owner="owner_id"))
TRANSFER = resource_type(ResourceType("transfer", "transfers", Transfer, owner="owner_id"))
