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


def check_not_last(user_id: UUID) -> None:
    """``Refused(LAST_ADMIN)`` for the only one who can sign in and administrates. Within a unit.

    The rows of all who administrate are locked until it ends, in order of their ids: of two who remove each other at
    once, one is refused.
    """
    role = administrating_role()
    if role not in service(Authorizer).roles_of(user_id):
        return
    able = sa.select(User.id).where(User.active, User.password_hash.is_not(None), User.id != user_id).order_by(User.id)
    with closing(db.session.scalars(able, execution_options={"yield_per": 500})) as ids:
        others = [other for other in ids if role in service(Authorizer).roles_of(other)]
    alive = sa.select(User.id).where(User.id.in_([user_id, *others]), User.active).order_by(User.id)
    still = db.session.scalars(alive.with_for_update(key_share=True)).all()
    if not set(still) - {user_id}:
        raise Refused(LAST_ADMIN, "make somebody else an administrator first")
