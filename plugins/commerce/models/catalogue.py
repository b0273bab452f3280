"""Products: what is sold. Prices are in minor units of their currency (ISO 4217)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, deferred, mapped_column

from core.contracts import ResourceType
from core.data import SoftDeleted, TenantModel, Versioned, live
from core.trust import resource_type

SEARCHED = (
    "setweight(to_tsvector('english', name), 'A') || setweight(to_tsvector('simple', sku), 'B')"
    " || setweight(to_tsvector('english', description), 'C')"
)


class Product(Versioned, SoftDeleted, TenantModel):
    __tablename__ = "commerce_products"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "id"),
        sa.Index("uq_commerce_products_sku", "tenant_id", "sku", unique=True, postgresql_where=live()),
        sa.Index(None, "tenant_id", "created_at", "id"),
        sa.Index(None, "tenant_id", "name", "id"),
        sa.Index(None, "tenant_id", "price", "id"),
        sa.Index("ix_commerce_products_tags", "tags", postgresql_using="gin"),
        sa.Index("ix_commerce_products_search", "search_vector", postgresql_using="gin"),
        sa.Index(
            "ix_commerce_products_name_trigrams",
            "name",
            postgresql_using="gin",
            postgresql_ops={"name": "gin_trgm_ops"},
        ),
        sa.CheckConstraint("price >= 0", name="price"),
        sa.CheckConstraint("status in ('active', 'retired')", name="status"),
    )

    sku: Mapped[str] = mapped_column(sa.String(64))
    name: Mapped[str] = mapped_column(sa.String(200))
    description: Mapped[str] = mapped_column(sa.Text, default="")
    price: Mapped[int] = mapped_column(sa.BigInteger)
    currency: Mapped[str] = mapped_column(sa.String(3))
    status: Mapped[str] = mapped_column(sa.String(20), default="active")
    tags: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), default=list)
    search_vector: Mapped[Any] = deferred(mapped_column(TSVECTOR, sa.Computed(SEARCHED, persisted=True)))


PRODUCT = resource_type(ResourceType("product", "products", Product))
