"""Notifications to a person: a row that they read in the app, then mail.

notify(user_id, kind="auth.welcome", title="Welcome", text="Your account is ready.", key="auth.welcome")
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column

from core.background.tasks import enqueue
from core.data.models import TenantModel, db, utcnow
from core.data.unit import unit, unit_or_none


class Notification(TenantModel):
    """One thing that one person should know. ``key`` names the occasion: there is one row of it per person."""

    __tablename__ = "core_notifications"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "user_id", "key"),
        sa.Index(None, "tenant_id", "user_id", "id"),
    )

    user_id: Mapped[UUID] = mapped_column(sa.Uuid)
    key: Mapped[str | None] = mapped_column(sa.String(200), default=None)
    kind: Mapped[str] = mapped_column(sa.String(80))
    title: Mapped[str] = mapped_column(sa.String(200))
    text: Mapped[str] = mapped_column(sa.Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    read_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None)


def init_app(app: Flask) -> None:
    """Add the task that mails, where tasks are known, and the routes where requests are answered."""
    from core.live import notify_tasks

    app.extensions["pegboard.tasks"].add("core", notify_tasks)
    if app.extensions["pegboard.kind"] == "web":
        from core.live.notify_views import routes

        app.register_blueprint(routes, name="notifications")


def notify(
    user_id: UUID,
    *,
    kind: str,
    title: str,
    text: str,
    data: Mapping[str, Any] | None = None,
    mail: bool = True,
    key: str | None = None,
) -> None:
    """Tell somebody of the current tenant something; ``kind`` is ``<plugin>.<what>``, ``text`` plain text.

    The row is written in the current unit, or in one of its own where there is none; mail follows the commit, from
    a worker. With a ``key`` the second call does nothing, so a job that runs twice tells once.
    """
    row = insert(Notification).values(
        user_id=user_id, kind=kind, title=title, text=text, data=dict(data or {}), key=key
    )
    with nullcontext() if unit_or_none() else unit():
        fresh = db.session.scalar(row.on_conflict_do_nothing().returning(Notification.id))
        if fresh is not None and mail:
            enqueue("core.notify_mail", notification_id=fresh)


def mark_read(user_id: UUID, notification_id: UUID) -> bool:
    """Note when somebody's notification was first read; false when they have no such notification."""
    query = sa.select(Notification).where(Notification.id == notification_id, Notification.user_id == user_id)
    row = db.session.scalars(query.with_for_update()).one_or_none()
    if row is None:
        return False
    row.read_at = row.read_at or utcnow()
    return True
