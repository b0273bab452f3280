"""first tables: customers, products, orders"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.data.migrations import fence

revision = "0001"
down_revision = None


def upgrade() -> None:
    # Trusted since PostgreSQL 13: whoever may create in the database may have it.
    op.execute("create extension if not exists pg_trgm")
    op.create_table(
        "commerce_customers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            sa.Computed(
                "setweight(to_tsvector('simple', name), 'A') || setweight(to_tsvector('simple', email), 'B')",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status in ('active', 'blocked', 'closed')", name=op.f("ck_commerce_customers_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commerce_customers")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_commerce_customers_tenant_id_id")),
    )
    fence("commerce_customers")
    op.create_index(
        "ix_commerce_customers_search", "commerce_customers", ["search_vector"], unique=False, postgresql_using="gin"
    )
    op.create_index("ix_commerce_customers_tags", "commerce_customers", ["tags"], unique=False, postgresql_using="gin")
    op.create_index(
        op.f("ix_commerce_customers_tenant_id_created_at_id"),
        "commerce_customers",
        ["tenant_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_customers_tenant_id_name_id"), "commerce_customers", ["tenant_id", "name", "id"], unique=False
    )
    op.create_index(
        op.f("ix_commerce_customers_tenant_id_owner_id_created_at_id"),
        "commerce_customers",
        ["tenant_id", "owner_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_customers_tenant_id_status_created_at_id"),
        "commerce_customers",
        ["tenant_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_commerce_customers_email",
        "commerce_customers",
        ["tenant_id", sa.literal_column("lower(email)")],
        unique=True,
        postgresql_where=sa.text("deleted_at is null"),
    )
    op.create_table(
        "commerce_products",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            sa.Computed(
                "setweight(to_tsvector('english', name), 'A') || setweight(to_tsvector('simple', sku), 'B')"
                " || setweight(to_tsvector('english', description), 'C')",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status in ('active', 'retired')", name=op.f("ck_commerce_products_status")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_commerce_products_price")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commerce_products")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_commerce_products_tenant_id_id")),
    )
    fence("commerce_products")
    op.create_index(
        "ix_commerce_products_name_trigrams",
        "commerce_products",
        ["name"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"name": "gin_trgm_ops"},
    )
    op.create_index(
        "ix_commerce_products_search", "commerce_products", ["search_vector"], unique=False, postgresql_using="gin"
    )
    op.create_index("ix_commerce_products_tags", "commerce_products", ["tags"], unique=False, postgresql_using="gin")
    op.create_index(
        op.f("ix_commerce_products_tenant_id_created_at_id"),
        "commerce_products",
        ["tenant_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_products_tenant_id_name_id"), "commerce_products", ["tenant_id", "name", "id"], unique=False
    )
    op.create_index(
        op.f("ix_commerce_products_tenant_id_price_id"), "commerce_products", ["tenant_id", "price", "id"], unique=False
    )
    op.create_index(
        "uq_commerce_products_sku",
        "commerce_products",
        ["tenant_id", "sku"],
        unique=True,
        postgresql_where=sa.text("deleted_at is null"),
    )
    op.create_table(
        "commerce_orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('placed', 'completed', 'cancelled')", name=op.f("ck_commerce_orders_status")),
        sa.CheckConstraint("total >= 0", name=op.f("ck_commerce_orders_total")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["commerce_customers.tenant_id", "commerce_customers.id"],
            name=op.f("fk_commerce_orders_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commerce_orders")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_commerce_orders_tenant_id_id")),
    )
    fence("commerce_orders")
    op.create_index(
        op.f("ix_commerce_orders_tenant_id_created_at_id"),
        "commerce_orders",
        ["tenant_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_orders_tenant_id_customer_id_created_at_id"),
        "commerce_orders",
        ["tenant_id", "customer_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_orders_tenant_id_customer_id_status_total"),
        "commerce_orders",
        ["tenant_id", "customer_id", "status", "total"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_orders_tenant_id_owner_id_created_at_id"),
        "commerce_orders",
        ["tenant_id", "owner_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_commerce_orders_tenant_id_total_id"), "commerce_orders", ["tenant_id", "total", "id"], unique=False
    )
    op.create_table(
        "commerce_order_lines",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_commerce_order_lines_quantity")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "order_id"],
            ["commerce_orders.tenant_id", "commerce_orders.id"],
            name=op.f("fk_commerce_order_lines_tenant_id_order_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "product_id"],
            ["commerce_products.tenant_id", "commerce_products.id"],
            name=op.f("fk_commerce_order_lines_tenant_id_product_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commerce_order_lines")),
        sa.UniqueConstraint(
            "tenant_id", "order_id", "position", name=op.f("uq_commerce_order_lines_tenant_id_order_id_position")
        ),
    )
    fence("commerce_order_lines")
    op.create_index(
        op.f("ix_commerce_order_lines_tenant_id_product_id"),
        "commerce_order_lines",
        ["tenant_id", "product_id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_commerce_order_lines_tenant_id_product_id"), table_name="commerce_order_lines")
    op.drop_table("commerce_order_lines")
    op.drop_index(op.f("ix_commerce_orders_tenant_id_total_id"), table_name="commerce_orders")
    op.drop_index(op.f("ix_commerce_orders_tenant_id_owner_id_created_at_id"), table_name="commerce_orders")
    op.drop_index(op.f("ix_commerce_orders_tenant_id_customer_id_status_total"), table_name="commerce_orders")
    op.drop_index(op.f("ix_commerce_orders_tenant_id_customer_id_created_at_id"), table_name="commerce_orders")
    op.drop_index(op.f("ix_commerce_orders_tenant_id_created_at_id"), table_name="commerce_orders")
    op.drop_table("commerce_orders")
    op.drop_index(
        "uq_commerce_products_sku", table_name="commerce_products", postgresql_where=sa.text("deleted_at is null")
    )
    op.drop_index(op.f("ix_commerce_products_tenant_id_price_id"), table_name="commerce_products")
    op.drop_index(op.f("ix_commerce_products_tenant_id_name_id"), table_name="commerce_products")
    op.drop_index(op.f("ix_commerce_products_tenant_id_created_at_id"), table_name="commerce_products")
    op.drop_index("ix_commerce_products_tags", table_name="commerce_products", postgresql_using="gin")
    op.drop_index("ix_commerce_products_search", table_name="commerce_products", postgresql_using="gin")
    op.drop_index(
        "ix_commerce_products_name_trigrams",
        table_name="commerce_products",
        postgresql_using="gin",
        postgresql_ops={"name": "gin_trgm_ops"},
    )
    op.drop_table("commerce_products")
    op.drop_index(
        "uq_commerce_customers_email", table_name="commerce_customers", postgresql_where=sa.text("deleted_at is null")
    )
    op.drop_index(op.f("ix_commerce_customers_tenant_id_status_created_at_id"), table_name="commerce_customers")
    op.drop_index(op.f("ix_commerce_customers_tenant_id_owner_id_created_at_id"), table_name="commerce_customers")
    op.drop_index(op.f("ix_commerce_customers_tenant_id_name_id"), table_name="commerce_customers")
    op.drop_index(op.f("ix_commerce_customers_tenant_id_created_at_id"), table_name="commerce_customers")
    op.drop_index("ix_commerce_customers_tags", table_name="commerce_customers", postgresql_using="gin")
    op.drop_index("ix_commerce_customers_search", table_name="commerce_customers", postgresql_using="gin")
    op.drop_table("commerce_customers")
