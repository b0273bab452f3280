"""What answers "this account was hacked": everybody is out, nothing lets in any more, and what happened is told."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from core.contracts import Principal
from core.data import db, utcnow
from core.trust import record
from plugins.auth.models import Event, Session, User
from plugins.auth.services import authority, events, sessions, user_states, users
from plugins.auth.user_schemas import Timeline, TimelineSession

SPAN = timedelta(days=90)
MOST = 1_000


def respond(who: Principal, user_id: UUID, reason: str) -> Timeline:
    """End all sessions, make all links worthless, force a reset, and tell the account's last 90 days.

    The link for the reset goes to the account's address: where that was changed by the intruder, set it right first.
    API keys are not there yet; once they are, they end here too. ``Refused``: NOT_FOUND, FORBIDDEN.
    """
    user = authority.subject(who, user_id)
    user_states.demand_reset(user, sessions.COMPROMISED)
    users.note(events.COMPROMISED, who, user, reason=reason)
    record("auth.user_compromised", kind="user", id=user.id, after={"must_reset": True}, reason=reason)
    db.session.flush()
    return timeline(user)


def timeline(user: User) -> Timeline:
    """The account, its sessions and its events, newest first, at most 1,000 of each."""
    since = utcnow() - SPAN
    kept = sa.select(Session).where(Session.user_id == user.id).order_by(Session.id.desc()).limit(MOST + 1)
    found = db.session.scalars(kept, execution_options={"populate_existing": True}).all()
    happened = sa.select(Event).where(Event.user_id == user.id, Event.created_at >= since)
    told = db.session.scalars(happened.order_by(Event.id.desc()).limit(MOST + 1)).all()
    return Timeline(
        user=users.shown(user),
        sessions=[_session(session) for session in found[:MOST]],
        events=[events.shown(event) for event in told[:MOST]],
        truncated=len(found) > MOST or len(told) > MOST,
    )


def _session(session: Session) -> TimelineSession:
    return TimelineSession(
        **sessions.facts(session), revoked_at=session.revoked_at, revoked_reason=session.revoked_reason
    )
