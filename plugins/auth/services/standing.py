"""Whether the session behind an access token still stands.

Asked on each request that carries a token, so the answer is kept in the process until a notice says that it changed,
or for a second while notices do not arrive: a revocation bites everywhere within a second, with Redis or without.
While PostgreSQL cannot be asked and nothing is kept, the request is refused with 503, never with 401.
"""

from __future__ import annotations

import time
from uuid import UUID

import sqlalchemy as sa

from core.contracts import Principal, TenantDirectory, service
from core.data import acting_in, after_commit, current_tenant, db, unit
from core.data.redis import NoticedCache
from plugins.auth.models import Session, User

_until: NoticedCache[float] = NoticedCache("auth.standing", size=10_000)
"""By session: the epoch second at which it ends by itself; 0 for one that does not stand."""


def stands(who: Principal) -> bool:
    """False for a session that was revoked, has run its whole time or never was, and for a user switched off."""
    tenant_id, user_id, session_id = who.tenant_id, who.id, who.session_id
    if tenant_id is None or user_id is None or session_id is None:
        return False
    until = _until.get(_key(tenant_id, session_id), lambda: _look_up(tenant_id, user_id, session_id))
    return time.time() < until


def changed(session_id: UUID) -> None:
    """Have every process look again once the current unit has committed."""
    key = _key(current_tenant().id, session_id)
    after_commit(lambda: _until.changed(key))


def _key(tenant_id: UUID, session_id: UUID) -> str:
    return f"{tenant_id}:{session_id}"


def _look_up(tenant_id: UUID, user_id: UUID, session_id: UUID) -> float:
    tenant = service(TenantDirectory).by_id(tenant_id)
    if tenant is None or not tenant.active:
        return 0.0
    query = (
        sa.select(Session.expires_at)
        .join(User, User.id == Session.user_id)
        .where(Session.id == session_id, User.id == user_id, Session.revoked_at.is_(None), User.active)
    )
    with acting_in(tenant), unit():
        expires_at = db.session.scalar(query)
    return expires_at.timestamp() if expires_at else 0.0
