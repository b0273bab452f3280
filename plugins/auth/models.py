"""The people of a tenant, their sessions, what happened to both, and the links that let somebody in once."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.data import TenantModel

LONGEST_IP = 45
LONGEST_AGENT = 300


def _of_user() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", "user_id"], ["auth_users.tenant_id", "auth_users.id"], ondelete="CASCADE"
    )


class User(TenantModel):
    """``email`` is in the one form that ``addresses.normalise`` makes; without a hash nobody can log in yet.

    ``must_reset`` lets a right password in no more: only a link that was mailed does, and the new password it sets.
    ``erase_asked_at`` is there until the erasing is done, and from then on nobody lets the account in again.
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
    must_reset: Mapped[bool] = mapped_column(sa.Boolean, default=False)
    email_verified_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None)
    erase_asked_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None)


sa.Index(None, User.tenant_id, User.erase_asked_at, postgresql_where=User.erase_asked_at.is_not(None))


class Session(TenantModel):
    """One sign-in, and the family of refresh tokens that grew from it: their counter, and nothing secret.

    The current token is number ``counter``, since ``rotated_at``. No index covers what a refresh writes, so that
    PostgreSQL rewrites the row in place (a heap-only tuple) and ten thousand refreshes leave one row.
    """

    __tablename__ = "auth_sessions"
    __table_args__ = (
        _of_user(),
        sa.Index(None, "tenant_id", "user_id"),
    )

    user_id: Mapped[UUID] = mapped_column(sa.Uuid)
    counter: Mapped[int] = mapped_column(sa.BigInteger, default=1)
    rotated_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=sa.func.now())
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None)
    revoked_reason: Mapped[str | None] = mapped_column(sa.String(40), default=None)
    ip: Mapped[str] = mapped_column(sa.String(LONGEST_IP))
    user_agent: Mapped[str] = mapped_column(sa.String(LONGEST_AGENT))


sa.Index("ix_auth_sessions_ended", Session.tenant_id, sa.func.coalesce(Session.revoked_at, Session.expires_at))


class Event(TenantModel):
    """Something that happened to an account: a log-in, a failed one, a revocation. Appended, and dropped with age.

    ``account`` is the address that was tried, whether or not anybody has it.
    """

    __tablename__ = "auth_events"
    __table_args__ = (
        _of_user(),
        sa.Index(None, "tenant_id", "user_id", "id"),
        sa.Index(None, "tenant_id", "session_id", "id"),
        sa.Index(None, "tenant_id", "account", "id"),
        sa.Index(None, "tenant_id", "kind", "created_at"),
    )

    user_id: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)
    session_id: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)
    kind: Mapped[str] = mapped_column(sa.String(40))
    account: Mapped[str | None] = mapped_column(sa.String(254), default=None)
    ip: Mapped[str] = mapped_column(sa.String(LONGEST_IP), default="")
    user_agent: Mapped[str] = mapped_column(sa.String(LONGEST_AGENT), default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)


class Link(TenantModel):
    """A single-use link: of its token only a digest is kept, and ``details`` say what redeeming it grants."""

    __tablename__ = "auth_links"
    __table_args__ = (
        _of_user(),
        sa.UniqueConstraint("tenant_id", "digest"),
        sa.Index(None, "tenant_id", "user_id"),
        sa.Index(None, "tenant_id", "expires_at"),
    )

    user_id: Mapped[UUID] = mapped_column(sa.Uuid)
    purpose: Mapped[str] = mapped_column(sa.String(20))
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None)


class Signup(TenantModel):
    """Somebody who would like an account, until a mailed link shows that the address is theirs.

    No account is made before: nobody can take an address that they do not read. ``digest`` is set when the mail goes.
    """

    __tablename__ = "auth_signups"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "digest"),
        sa.Index(None, "tenant_id", "expires_at"),
        sa.Index(None, "tenant_id", "email"),
    )

    email: Mapped[str] = mapped_column(sa.String(254))
    display_name: Mapped[str] = mapped_column(sa.String(100))
    password_hash: Mapped[str] = mapped_column(sa.String(255))
    digest: Mapped[bytes | None] = mapped_column(sa.LargeBinary(32), default=None)
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
