from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.contracts import ResourceType
from core.data.models import TenantModel
from core.trust.permissions import resource_type


class Author(TenantModel):
    __tablename__ = "shelf_authors"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "id"), sa.UniqueConstraint("tenant_id", "name"))

    name: Mapped[str] = mapped_column(sa.Text)


class Book(TenantModel):
    __tablename__ = "shelf_books"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "title"),
        sa.ForeignKeyConstraint(["tenant_id", "author_id"], ["shelf_authors.tenant_id", "shelf_authors.id"]),
        sa.Index(None, "tenant_id", "created_at", "id"),
    )

    title: Mapped[str] = mapped_column(sa.Text)
    owner_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    author_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    version: Mapped[int] = mapped_column(sa.Integer)

    __mapper_args__ = {"version_id_col": version}


class Mark(TenantModel):
    """What listeners and tasks leave behind, so that tests can see that they ran."""

    __tablename__ = "shelf_marks"

    note: Mapped[str] = mapped_column(sa.Text)


BOOK = resource_type(ResourceType("book", "shelf", Book, owner="owner_id"))
