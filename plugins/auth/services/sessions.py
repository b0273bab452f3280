"""Sessions: begun by a sign-in, seen by their owner, ended by anybody who may.

Work on one person's sessions holds a lock on their row in ``auth_users``: of two sign-ins at once each sees the other,
so that the limit on live sessions holds, and none slips in beside a change of password.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.data import db, new_id, utcnow
from core.errors import NOT_FOUND, Code, Refused
from core.registry import settings_of
from plugins.auth.api import INVALID_CREDENTIALS, RESET_REQUIRED
from plugins.auth.callers import NOBODY, Caller
from plugins.auth.models import Session, User
from plugins.auth.schemas import SessionReply
from plugins.auth.services import events, standing

LOGGED_OUT = "logged_out"
REVOKED = "revoked"
EVICTED = "evicted"
REUSE = "reuse"
PASSWORD = "password"
DISABLED = "disabled"
RESET_FORCED = "reset_forced"
COMPROMISED = "compromised"
DELETED = "deleted"


def locked(user_id: UUID, gone: Code = NOT_FOUND) -> User:
    """The user's row, as it is now, locked until the unit ends. ``Refused(gone)`` where there is none any more."""
    # Not against foreign keys that point to it: an event of another session must not wait, nor lock us out.
    query = sa.select(User).where(User.id == user_id).with_for_update(key_share=True)
    user = db.session.scalars(query, execution_options={"populate_existing": True}).one_or_none()
    if user is None:
        raise Refused(gone)
    return user


def begin(user: User, caller: Caller, *, known_hash: str | None = None, how: str = events.LOGGED_IN) -> Session:
    """A new session of a user whose row is ``locked``. Beyond ``AUTH_MAX_SESSIONS`` the longest unused one ends.

    ``known_hash`` is what the password was verified against: where it has changed meanwhile, or the account was
    switched off, ``Refused(INVALID_CREDENTIALS)``; where a reset was forced, ``Refused(RESET_REQUIRED)``.
    """
    if not user.active or (known_hash is not None and user.password_hash != known_hash):
        raise Refused(INVALID_CREDENTIALS)
    if user.must_reset:
        raise Refused(RESET_REQUIRED)
    alive = live(user.id)
    surplus = len(alive) - settings_of("auth").max_sessions + 1
    if surplus > 0:
        end([session.id for session in alive[-surplus:]], EVICTED, caller)
    session = Session(
        id=new_id(),
        user_id=user.id,
        counter=1,
        expires_at=utcnow() + timedelta(days=settings_of("auth").session_days),
        ip=caller.ip,
        user_agent=caller.user_agent,
    )
    db.session.add(session)
    events.note(how, caller=caller, user_id=user.id, session_id=session.id, account=user.email)
    return session


def live(user_id: UUID) -> Sequence[Session]:
    """Somebody's sessions that can still be refreshed, the last used first."""
    idle = timedelta(days=settings_of("auth").session_idle_days)
    return db.session.scalars(
        sa.select(Session)
        .where(
            Session.user_id == user_id,
            Session.revoked_at.is_(None),
            Session.expires_at > sa.func.now(),
            Session.rotated_at > sa.func.now() - idle,
        )
        .order_by(Session.rotated_at.desc(), Session.id.desc())
    ).all()


def end(ids: Sequence[UUID], reason: str, caller: Caller = NOBODY) -> list[UUID]:
    """End these sessions, within the unit; answers those that had not ended before. Each has its event.

    From the commit on every process refuses their access tokens too, within a second (see ``standing``).
    """
    if not ids:
        return []
    ended = sa.update(Session).where(Session.id.in_(ids), Session.revoked_at.is_(None))
    ended = ended.values(revoked_at=sa.func.now(), revoked_reason=reason)
    gone = db.session.execute(
        ended.returning(Session.id, Session.user_id), execution_options={"synchronize_session": False}
    ).all()
    for session_id, user_id in gone:
        standing.changed(session_id)
        events.note(events.SESSION_REVOKED, caller=caller, user_id=user_id, session_id=session_id, reason=reason)
    return [session_id for session_id, _ in gone]


def end_all(user_id: UUID, reason: str, caller: Caller = NOBODY, *, but: UUID | None = None) -> list[UUID]:
    """End every session of somebody, or all but one."""
    standing_ones = sa.select(Session.id).where(Session.user_id == user_id, Session.revoked_at.is_(None))
    return end([id for id in db.session.scalars(standing_ones) if id != but], reason, caller)


def end_one(user_id: UUID, session_id: UUID, reason: str, caller: Caller) -> None:
    """End one of somebody's own sessions; a second time changes nothing. ``Refused(NOT_FOUND)``."""
    owned(user_id, session_id)
    end([session_id], reason, caller)


def owned(user_id: UUID, session_id: UUID) -> Session:
    """A session of this user, whatever became of it. ``Refused(NOT_FOUND)`` for anybody else's."""
    query = sa.select(Session).where(Session.id == session_id, Session.user_id == user_id)
    session = db.session.scalars(query).one_or_none()
    if session is None:
        raise Refused(NOT_FOUND)
    return session


def listed(user_id: UUID, current: UUID | None) -> list[SessionReply]:
    """Somebody's live sessions, the last used first; there are few, so they are no page."""
    return [SessionReply(**facts(session), current=session.id == current) for session in live(user_id)]


def facts(session: Session) -> dict[str, Any]:
    """What is told of a session, to its owner and to administrators."""
    return {
        "id": session.id,
        "device": session.user_agent,
        "ip": session.ip,
        "created_at": session.created_at,
        "last_seen_at": session.rotated_at,
        "expires_at": session.expires_at,
    }
