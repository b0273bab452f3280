"""first tables: authors, books, marks"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.data.migrations import fence

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "shelf_authors",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shelf_authors")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_shelf_authors_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_shelf_authors_tenant_id_name")),
    )
    fence("shelf_authors")
    op.create_table(
        "shelf_marks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shelf_marks")),
    )
    fence("shelf_marks")
    op.create_table(
        "shelf_books",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("author_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "author_id"],
            ["shelf_authors.tenant_id", "shelf_authors.id"],
            name=op.f("fk_shelf_books_tenant_id_author_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shelf_books")),
        sa.UniqueConstraint("tenant_id", "title", name=op.f("uq_shelf_books_tenant_id_title")),
    )
    fence("shelf_books")
    op.create_index(
        op.f("ix_shelf_books_tenant_id_created_at_id"), "shelf_books", ["tenant_id", "created_at", "id"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_shelf_books_tenant_id_created_at_id"), table_name="shelf_books")
    op.drop_table("shelf_books")
    op.drop_table("shelf_marks")
    op.drop_table("shelf_authors")
