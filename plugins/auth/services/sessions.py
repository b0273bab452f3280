"""Whether the session behind an access token still stands; answers ``Authenticator``.

Asked on each request that carries a token, so the answer is kept in the process until a notice says that it changed,
or for a second while notices do not arrive. API keys and socket tickets are nobody's yet.
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from core.contracts import Principal, TenantDirectory, service
from core.data import acting_in, after_commit, db, unit
from core.data.redis import NoticedCache
from core.errors import TOKEN_INVALID, Refused
from plugins.auth.models import User

_standing: NoticedCache[tuple[bool, UUID | None]] = NoticedCache("auth.standing", size=10_000)


class Sessions:
    def session_stands(self, who: Principal, issued_at: int) -> bool:
        """False for a user who was switched off, and for a session older than the user's first valid one."""
        tenant_id, user_id, session_id = who.tenant_id, who.id, who.session_id
        if tenant_id is None or user_id is None or session_id is None:
            return False
        active, first = _standing.get(f"{tenant_id}:{user_id}", lambda: _look_up(tenant_id, user_id))
        return active and (first is None or session_id >= first)

    def by_api_key(self, key: str) -> Principal:
        raise Refused(TOKEN_INVALID)

    def by_ticket(self, ticket: str) -> Principal:
        raise Refused(TOKEN_INVALID)


def changed(user: User) -> None:
    """Have every process look again once the current unit has committed."""
    key = f"{user.tenant_id}:{user.id}"
    after_commit(lambda: _standing.changed(key))


def _look_up(tenant_id: UUID, user_id: UUID) -> tuple[bool, UUID | None]:
    tenant = service(TenantDirectory).by_id(tenant_id)
    if tenant is None or not tenant.active:
        return False, None
    with acting_in(tenant), unit():
        row = db.session.execute(sa.select(User.active, User.first_session).where(User.id == user_id)).one_or_none()
    # Nothing was revoked for somebody who has no row; what they may do is for the routes to say.
    return (row.active, row.first_session) if row else (True, None)
