"""What happened to accounts: noted in the transaction that it belongs to, read by people and administrators."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.data import db
from core.web import Page, PageQuery, paginate
from plugins.auth.callers import NOBODY, Caller
from plugins.auth.models import Event
from plugins.auth.schemas import EventReply

REGISTERED = "registered"
LOGGED_IN = "logged_in"
LOG_IN_FAILED = "log_in_failed"
REUSE_DETECTED = "reuse_detected"
SESSION_REVOKED = "session_revoked"
PASSWORD_CHANGED = "password_changed"
PASSWORD_RESET = "password_reset"
EMAIL_CHANGED = "email_changed"
CREATED = "created"
INVITED = "invited"
EDITED = "edited"
ROLES_CHANGED = "roles_changed"
ROLES_WITHHELD = "roles_withheld"
DISABLED = "disabled"
ENABLED = "enabled"
RESET_FORCED = "reset_forced"
COMPROMISED = "compromised"


def note(
    kind: str,
    *,
    caller: Caller = NOBODY,
    user_id: UUID | None = None,
    session_id: UUID | None = None,
    account: str | None = None,
    **details: Any,
) -> None:
    """Write one event in the current unit; ``account`` is the address, where one was given."""
    db.session.add(
        Event(
            kind=kind,
            user_id=user_id,
            session_id=session_id,
            account=account,
            ip=caller.ip,
            user_agent=caller.user_agent,
            details=details,
        )
    )


def of_session(user_id: UUID, session_id: UUID, query: PageQuery) -> Page[EventReply]:
    """What happened to one of somebody's sessions, newest first."""
    wanted = sa.select(Event).where(Event.user_id == user_id, Event.session_id == session_id)
    return paginate(wanted, ((Event.id, "desc"),), query).map(shown)


def of_user(user_id: UUID, query: PageQuery) -> Page[EventReply]:
    """What happened to somebody's account, newest first."""
    return paginate(sa.select(Event).where(Event.user_id == user_id), ((Event.id, "desc"),), query).map(shown)


def shown(event: Event) -> EventReply:
    return EventReply(
        id=event.id,
        kind=event.kind,
        at=event.created_at,
        session_id=event.session_id,
        ip=event.ip,
        user_agent=event.user_agent,
        details=event.details,
    )
