"""The people of a tenant, and the links that let somebody in once."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.data import TenantModel


class User(TenantModel):
    """``email`` is in the one form that ``addresses.normalise`` makes; without a hash nobody can log in yet.

    Session ids are in order of time, so ``first_session`` ends all that came before it.
    """

    __tablename__ = "auth_users"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "email", name="uq_auth_users_email"),
        sa.UniqueConstraint("tenant_id", "id"),
    )

    email: Mapped[str] = mapped_column(sa.String(254))
    display_name: Mapped[str] = mapped_column(sa.String(100))
    password_hash: Mapped[str | None] = mapped_column(sa.String(255), default=None)
    active: Mapped[bool] = mapped_column(sa.Boolean, default=True)
    first_session: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)


class Link(TenantModel):
    """A single-use link: of its token only a digest is kept, and ``details`` say what redeeming it grants."""

    __tablename__ = "auth_links"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["auth_users.tenant_id", "auth_users.id"], ondelete="CASCADE"
        ),
        sa.UniqueConstraint("tenant_id", "digest"),
        sa.Index(None, "tenant_id", "user_id"),
    )

    user_id: Mapped[UUID] = mapped_column(sa.Uuid)
    purpose: Mapped[str] = mapped_column(sa.String(20))
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None)
