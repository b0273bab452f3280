"""Refreshing, and the sessions of whoever is signed in."""

from __future__ import annotations

from uuid import UUID

from core.data import in_steps, unit
from core.errors import CSRF_FAILED, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_MISSING
from core.trust import current_principal, public, signed_in, tenantless
from core.web import NoContent, Page, PageQuery, Reply, csrf_token
from core.web.openapi import refuses
from plugins.auth import refresh_tokens
from plugins.auth.api import SESSION_COMPROMISED, SESSION_ENDED
from plugins.auth.schemas import CsrfToken, EventReply, Refresh, SessionList, SessionsQuery, SignedIn
from plugins.auth.services import accounts, events, rotation, sessions
from plugins.auth.views.calling import at_home, caller, in_tenant
from plugins.auth.views.delivery import given_refresh, reply_to, signed_out
from plugins.auth.views.routes import routes


@routes.post("/refresh")
@public
@tenantless
@refuses(TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, SESSION_ENDED, SESSION_COMPROMISED, CSRF_FAILED)
@in_steps
def refresh(body: Refresh) -> Reply[SignedIn]:
    """New tokens for a refresh token, which is good once.

    Presented again within a few seconds, after a lost reply or by a second tab, it gets the current tokens. Later it is
    a copy in somebody's hands: the whole session ends, and its owner is told. Without a token in the body the refresh
    cookie counts, and the answer comes as cookies.
    """
    token, delivery = given_refresh(body)
    with in_tenant(refresh_tokens.read(token).tenant_id):
        return reply_to(rotation.refresh(token, caller()), delivery)


@routes.post("/logout")
@signed_in
@in_steps
def log_out() -> NoContent:
    """End the session that asks; its cookies are taken away."""
    with at_home() as who:
        accounts.log_out(who, caller())
    return signed_out()


@routes.get("/csrf")
@signed_in
def csrf() -> CsrfToken:
    """What a page that was signed in by cookie sends as `X-CSRF-Token`, for one that was loaded anew."""
    return CsrfToken(csrf_token(accounts.session_of(current_principal())))


@routes.get("/sessions")
@signed_in
@in_steps
def list_sessions() -> SessionList:
    """Where you are signed in, the last used first."""
    with at_home() as who, unit():
        return SessionList(sessions.listed(accounts.own(who).id, who.session_id))


@routes.delete("/sessions")
@signed_in
@in_steps
def end_sessions(query: SessionsQuery) -> None:
    """Sign out everywhere, or with `except=current` everywhere else."""
    with at_home() as who, unit():
        accounts.sign_out(who, caller(), but=who.session_id if query.except_ else None)


@routes.delete("/sessions/<uuid:session_id>")
@signed_in
@in_steps
def end_session(session_id: UUID) -> None:
    """Sign out in one place."""
    with at_home() as who, unit():
        sessions.end_one(accounts.own(who).id, session_id, sessions.REVOKED, caller())


@routes.get("/sessions/<uuid:session_id>/history")
@signed_in
@in_steps
def session_history(session_id: UUID, query: PageQuery) -> Page[EventReply]:
    """What happened to one of your sessions, newest first."""
    with at_home() as who, unit():
        user_id = accounts.own(who).id
        sessions.owned(user_id, session_id)
        return events.of_session(user_id, session_id, query)


@routes.get("/me/history")
@signed_in
@in_steps
def my_history(query: PageQuery) -> Page[EventReply]:
    """What happened to your account, newest first."""
    with at_home() as who, unit():
        return events.of_user(accounts.own(who).id, query)
