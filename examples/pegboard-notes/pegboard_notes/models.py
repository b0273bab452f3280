"""The one table. Id, tenant and times come with the base, and the tenant's fence with the migration."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.contracts import ResourceType
from core.data import TenantModel
from core.trust import resource_type


class Note(TenantModel):
    """``version`` grows with each change; it is the note's entity tag, and keeps two writers apart."""

    __tablename__ = "notes_notes"
    __table_args__ = (sa.Index(None, "tenant_id", "owner_id", "created_at", "id"),)

    owner_id: Mapped[UUID] = mapped_column(sa.Uuid)
    title: Mapped[str] = mapped_column(sa.String(200))
    text: Mapped[str] = mapped_column(sa.Text)
    version: Mapped[int] = mapped_column(sa.Integer)

    __mapper_args__ = {"version_id_col": version}


# What the board must know to decide who may touch a note: the permission word, and the column with its owner.
NOTE = resource_type(ResourceType("note", "notes", Note, owner="owner_id"))
