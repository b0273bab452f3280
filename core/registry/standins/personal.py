"""What the board itself keeps of a person: notifications, roles, and replies kept for a repeated request.

The audit log is not among it: it names people by id alone, and is kept for those who must answer for what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.data.models import db
from core.live.notify import Notification
from core.registry.standins.assignments import RoleAssignment, changed
from core.web.idempotency import IdempotencyKey


class BoardData:
    """Answers ``PersonalData`` for the core's own tables."""

    def export(self, user_id: UUID) -> Mapping[str, Any]:
        told = db.session.scalars(
            sa.select(Notification).where(Notification.user_id == user_id).order_by(Notification.id)
        )
        held = db.session.scalars(
            sa.select(RoleAssignment).where(RoleAssignment.principal_id == user_id).order_by(RoleAssignment.id)
        )
        return {
            "notifications": [
                {"kind": row.kind, "title": row.title, "text": row.text, "at": row.created_at, "read_at": row.read_at}
                for row in told
            ],
            "roles": [{"role": row.role, "kind": row.kind, "id": row.resource_id} for row in held],
        }

    def erase(self, user_id: UUID) -> None:
        db.session.execute(sa.delete(Notification).where(Notification.user_id == user_id))
        db.session.execute(sa.delete(RoleAssignment).where(RoleAssignment.principal_id == user_id))
        changed(user_id)
        db.session.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.principal == f"user:{user_id}"))
