"""Orders and their lines. A line keeps what the product was called and cost when it was ordered."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.contracts import ResourceType
from core.data import TenantModel, Versioned
from core.trust import resource_type


class Order(Versioned, TenantModel):
    """``total`` is the sum of its lines, in minor units of ``currency``."""

    __tablename__ = "commerce_orders"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "id"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"], ["commerce_customers.tenant_id", "commerce_customers.id"]
        ),
        sa.Index(None, "tenant_id", "created_at", "id"),
        sa.Index(None, "tenant_id", "total", "id"),
        sa.Index(None, "tenant_id", "customer_id", "created_at", "id"),
        sa.Index(None, "tenant_id", "customer_id", "status", "total"),
        sa.Index(None, "tenant_id", "owner_id", "created_at", "id"),
        sa.CheckConstraint("total >= 0", name="total"),
        sa.CheckConstraint("status in ('placed', 'completed', 'cancelled')", name="status"),
    )

    owner_id: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)
    customer_id: Mapped[UUID] = mapped_column(sa.Uuid)
    status: Mapped[str] = mapped_column(sa.String(20), default="placed")
    currency: Mapped[str] = mapped_column(sa.String(3))
    total: Mapped[int] = mapped_column(sa.BigInteger)
    note: Mapped[str] = mapped_column(sa.Text, default="")
    completed_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None)


class OrderLine(TenantModel):
    __tablename__ = "commerce_order_lines"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["tenant_id", "order_id"], ["commerce_orders.tenant_id", "commerce_orders.id"], ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id", "product_id"], ["commerce_products.tenant_id", "commerce_products.id"]),
        sa.UniqueConstraint("tenant_id", "order_id", "position"),
        sa.Index(None, "tenant_id", "product_id"),
        sa.CheckConstraint("quantity > 0", name="quantity"),
    )

    order_id: Mapped[UUID] = mapped_column(sa.Uuid)
    position: Mapped[int] = mapped_column(sa.Integer)
    product_id: Mapped[UUID] = mapped_column(sa.Uuid)
    sku: Mapped[str] = mapped_column(sa.String(64))
    name: Mapped[str] = mapped_column(sa.String(200))
    quantity: Mapped[int] = mapped_column(sa.Integer)
    unit_price: Mapped[int] = mapped_column(sa.BigInteger)
    total: Mapped[int] = mapped_column(sa.BigInteger)


ORDER = resource_type(ResourceType("order", "orders", Order, owner="owner_id"))
