"""Somebody must remain who administrates: asked before an administrator is switched off, deleted or made less."""

from __future__ import annotations

from contextlib import closing
from uuid import UUID

import sqlalchemy as sa

from core.contracts import SUPER_ADMIN, Authorizer, service
from core.data import PLATFORM, current_tenant, db
from core.errors import Refused
from plugins.auth.api import LAST_ADMIN
from plugins.auth.models import User


def administrating_role() -> str:
    """The role whose holders can do everything in the current tenant."""
    return SUPER_ADMIN if current_tenant().id == PLATFORM.id else "admin"


def check_not_last(user_id: UUID, asking: UUID | None = None) -> None:
    """``Refused(LAST_ADMIN)`` for the only one who can sign in and administrates. Within a unit.

    The rows of this one and of one who stays are locked until it ends, in order of their ids, and only then does it
    count that the other stays: of two who remove each other at once, one is refused. ``asking`` is looked at first, for
    that is most often an administrator; else the oldest accounts are.
    """
    role = administrating_role()
    if role not in service(Authorizer).roles_of(user_id):
        return
    if asking is not None and asking != user_id and _stays(asking, user_id, role):
        return
    able = sa.select(User.id).where(User.active, User.password_hash.is_not(None), User.id != user_id).order_by(User.id)
    with closing(db.session.scalars(able, execution_options={"yield_per": 500})) as others:
        if not any(_stays(other, user_id, role) for other in others):
            raise Refused(LAST_ADMIN, "make somebody else an administrator first")


def _stays(other: UUID, leaving: UUID, role: str) -> bool:
    """Whether ``other`` administrates and, their row once locked, still does."""
    if role not in service(Authorizer).roles_of(other):
        return False
    both = sa.select(User.id, User.active, User.password_hash.is_not(None).label("able")).where(
        User.id.in_([other, leaving])
    )
    rows = db.session.execute(both.order_by(User.id).with_for_update(key_share=True)).all()
    able = any(row.id == other and row.active and row.able for row in rows)
    # Asked again: who waited for the lock may have waited for the role to be taken.
    return able and role in service(Authorizer).roles_of(other)
