"""Customers: who buys. ``owner_id`` is the user whose record it is, where there is one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, deferred, mapped_column

from core.contracts import ResourceType
from core.data import SoftDeleted, TenantModel, Versioned, live
from core.trust import resource_type

SEARCHED = "setweight(to_tsvector('simple', name), 'A') || setweight(to_tsvector('simple', email), 'B')"


class Customer(Versioned, SoftDeleted, TenantModel):
    __tablename__ = "commerce_customers"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "id"),
        sa.Index(None, "tenant_id", "created_at", "id"),
        sa.Index(None, "tenant_id", "name", "id"),
        sa.Index(None, "tenant_id", "status", "created_at", "id"),
        sa.Index(None, "tenant_id", "owner_id", "created_at", "id"),
        sa.Index("ix_commerce_customers_tags", "tags", postgresql_using="gin"),
        sa.Index("ix_commerce_customers_search", "search_vector", postgresql_using="gin"),
        sa.CheckConstraint("status in ('active', 'blocked', 'closed')", name="status"),
    )

    owner_id: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)
    name: Mapped[str] = mapped_column(sa.String(200))
    email: Mapped[str] = mapped_column(sa.String(254))
    status: Mapped[str] = mapped_column(sa.String(20), default="active")
    tags: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), default=list)
    search_vector: Mapped[Any] = deferred(mapped_column(TSVECTOR, sa.Computed(SEARCHED, persisted=True)))


sa.Index(
    "uq_commerce_customers_email",
    Customer.tenant_id,
    sa.func.lower(Customer.email),
    unique=True,
    postgresql_where=live(),
)

CUSTOMER = resource_type(ResourceType("customer", "customers", Customer, owner="owner_id"))
