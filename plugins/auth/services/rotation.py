"""Refreshing: one conditional statement moves a session on, and what it does not move is looked at afterwards.

A refresh token is good once. The statement raises the session's counter where the token is its current one; of two
requests with one token PostgreSQL lets the first through and has the second look again, so never do both mint a
successor. What then is left (RFC 9700, 4.14.2):

- the parent of the current token, within ``AUTH_REUSE_SECONDS`` of its use (a second tab, a lost reply): the current
  token once more, which moves nothing;
- any other used token: somebody has a copy. The session ends, its owner is told, and that stays although the answer
  is a refusal;
- a session that has ended or run out, and what was never issued: a refusal that changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.data import db, unit
from core.data.prepared import Prepared
from core.errors import TOKEN_EXPIRED, TOKEN_INVALID, Refused
from core.live import notify
from core.registry import settings_of
from plugins.auth import refresh_tokens
from plugins.auth.api import SESSION_COMPROMISED, SESSION_ENDED
from plugins.auth.callers import Caller
from plugins.auth.models import Session, User
from plugins.auth.refresh_tokens import RefreshToken
from plugins.auth.schemas import SignedIn, UserReply
from plugins.auth.services import events, sessions
from plugins.auth.services.signing_in import signed_in

_PERSON = (User.id, User.email, User.display_name)


def refresh(token: str, caller: Caller) -> SignedIn:
    """New tokens for a refresh token, in the tenant that it names. Opens a unit.

    ``Refused``, all 401: TOKEN_INVALID, TOKEN_EXPIRED, SESSION_ENDED, SESSION_COMPROMISED (kept).
    """
    given = refresh_tokens.read(token)
    with unit():
        row = _rotated(given, caller)
        if row is None:
            row = _left_over(given, caller)
    counter, user_id, email, display_name = row
    return signed_in(UserReply(user_id, email, display_name), given.session_id, counter)


def current(given: RefreshToken) -> Session | None:
    """The session whose current token this is, if it could be refreshed now. Within a unit."""
    query = sa.select(Session).join(User, User.id == Session.user_id).where(*_GOOD)
    return db.session.scalars(query, _asked(given)).one_or_none()


_GOOD = (
    Session.id == sa.bindparam("session_id"),
    Session.counter == sa.bindparam("presented"),
    Session.revoked_at.is_(None),
    Session.expires_at > sa.func.now(),
    Session.rotated_at > sa.func.now() - sa.bindparam("idle", type_=sa.Interval()),
    Session.user_id == User.id,
    User.active,
    User.must_reset.is_(False),
)
# The statement that runs more often than any other of this plugin: built once.
_ROTATE = Prepared(
    sa.update(Session)
    .where(*_GOOD)
    .values(
        counter=Session.counter + 1,
        rotated_at=sa.func.now(),
        ip=sa.bindparam("from_ip"),
        user_agent=sa.bindparam("from_agent"),
    )
    .returning(Session.counter, *_PERSON),
    Session,
    User,
)


def _rotated(given: RefreshToken, caller: Caller) -> Any:
    return _ROTATE(**_asked(given), from_ip=caller.ip, from_agent=caller.user_agent).one_or_none()


def _asked(given: RefreshToken) -> dict[str, Any]:
    return {"session_id": given.session_id, "presented": given.counter, "idle": _idle()}


def _left_over(given: RefreshToken, caller: Caller) -> Any:
    """The current token's counter and its owner, where this token may have it again; else ``Refused``."""
    # Locked, so that of many who come with a stolen token one ends the session.
    query = (
        sa.select(
            Session.counter,
            Session.revoked_reason,
            (Session.expires_at <= sa.func.now()).label("over"),
            (Session.rotated_at <= sa.func.now() - _idle()).label("idle"),
            (Session.rotated_at > sa.func.now() - _reuse()).label("recent"),
            sa.and_(User.active, User.must_reset.is_(False)).label("able"),
            *_PERSON,
        )
        .join(User, User.id == Session.user_id)
        .where(Session.id == given.session_id)
        .with_for_update(of=Session)
    )
    row = db.session.execute(query).one_or_none()
    # A counter that is still to come: signed by us, and undone by a restore. It was not stolen.
    if row is None or given.counter > row.counter:
        raise Refused(TOKEN_INVALID)
    if row.revoked_reason == sessions.REUSE:
        raise Refused(SESSION_COMPROMISED)
    if row.revoked_reason is not None or not row.able:
        raise Refused(SESSION_ENDED)
    if row.over or row.idle:
        raise Refused(TOKEN_EXPIRED)
    if given.counter == row.counter or (given.counter == row.counter - 1 and row.recent):
        # Equal where the account was switched on again between the two statements: nothing was used twice.
        return row.counter, row.id, row.email, row.display_name
    _compromised(given, row.id, row.email, caller)
    raise Refused(SESSION_COMPROMISED, keep=True)


def _compromised(given: RefreshToken, user_id: UUID, account: str, caller: Caller) -> None:
    sessions.end([given.session_id], sessions.REUSE, caller)
    events.note(
        events.REUSE_DETECTED,
        caller=caller,
        user_id=user_id,
        session_id=given.session_id,
        account=account,
        reason="a refresh token that had been used was presented again",
        counter=given.counter,
    )
    notify(
        user_id,
        kind="auth.session_compromised",
        title="A session of yours was ended for safety",
        text=(
            "Somebody presented a token of this session that had been used before, which happens when a copy of it was"
            " taken. The session has been ended. If you did not do this yourself, change your password."
            f"\n\nAddress: {caller.ip or 'unknown'}\nDevice: {caller.user_agent or 'unknown'}"
        ),
        key=f"auth.session_compromised:{given.session_id}",
    )


def _idle() -> timedelta:
    return timedelta(days=settings_of("auth").session_idle_days)


def _reuse() -> timedelta:
    return timedelta(seconds=settings_of("auth").reuse_seconds)
