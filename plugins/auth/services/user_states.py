"""Switching people off and on, their roles, a reset that is forced, and their leaving.

Each locks the user's row, so that no session slips in beside it; what could leave a tenant without an administrator
locks one who stays before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from core.background import enqueue
from core.contracts import Authorizer, Mailer, Principal, service
from core.data import db, unit
from core.trust import record
from plugins.auth.callers import NOBODY
from plugins.auth.models import User
from plugins.auth.services import administrators, authority, events, letters, links, personal, sessions, users
from plugins.auth.user_schemas import ManagedUserWithRoles


def disable(who: Principal, user_id: UUID) -> ManagedUserWithRoles:
    """Let somebody in no more: their sessions end at once, and links that were mailed die; twice changes nothing.

    ``Refused``: NOT_FOUND, FORBIDDEN, LAST_ADMIN.
    """
    authority.check_may_remove(who, user_id)
    user = authority.subject(who, user_id)
    if user.active:
        user.active = False
        sessions.end_all(user.id, sessions.DISABLED)
        # A link of `flask auth admin` would switch the account on again.
        links.forget(user.id)
        users.note(events.DISABLED, who, user)
        record("auth.user_disabled", kind="user", id=user.id, before={"active": True}, after={"active": False})
    return users.shown(user)


def enable(who: Principal, user_id: UUID) -> ManagedUserWithRoles:
    """Let somebody in again; sessions that ended stay ended. ``Refused``: NOT_FOUND, FORBIDDEN."""
    user = authority.subject(who, user_id)
    if not user.active:
        user.active = True
        users.note(events.ENABLED, who, user)
        record("auth.user_enabled", kind="user", id=user.id, before={"active": False}, after={"active": True})
    return users.shown(user)


def set_roles(who: Principal, user_id: UUID, roles: Iterable[str]) -> ManagedUserWithRoles:
    """Give and take roles until these are held. ``Refused``: NOT_FOUND, FORBIDDEN, LAST_ADMIN, UNKNOWN_ROLE."""
    wanted = set(roles) | {authority.EVERYONE}
    authority.check_may_touch(who, user_id)
    if administrators.administrating_role() not in wanted:
        administrators.check_not_last(user_id, who.id)
    user = authority.subject(who, user_id)
    before = service(Authorizer).roles_of(user.id)
    users.give(who, user.id, wanted.difference(before))
    lost = sorted(set(before) - wanted)
    authority.check_may_take(who, lost)
    for role in lost:
        service(Authorizer).withdraw(user.id, role)
    told = users.shown(user)
    if told.roles != before:
        users.note(events.ROLES_CHANGED, who, user, before=before, after=told.roles)
        record("auth.user_roles_set", kind="user", id=user.id, before={"roles": before}, after={"roles": told.roles})
    return told


def force_reset(who: Principal, user_id: UUID) -> ManagedUserWithRoles:
    """Make the password worthless, end all sessions, and have a link mailed. ``Refused``: NOT_FOUND, FORBIDDEN."""
    user = authority.subject(who, user_id)
    before = {"must_reset": user.must_reset}
    demand_reset(user, sessions.RESET_FORCED)
    users.note(events.RESET_FORCED, who, user)
    record("auth.user_reset_forced", kind="user", id=user.id, before=before, after={"must_reset": True})
    return users.shown(user)


def demand_reset(user: User, reason: str) -> None:
    """Nothing that lets this user in is good any more, but a link that is yet to be mailed."""
    user.must_reset = True
    sessions.end_all(user.id, reason)
    links.forget(user.id)
    enqueue("auth.mail_forced_reset", user_id=user.id)


def mail_forced_reset(user_id: UUID) -> None:
    """From a job: the link, unless the reset is done already. Opens a unit."""
    with unit():
        user = db.session.get(User, user_id)
        if user is None or not user.active or not user.must_reset:
            return
        link = links.address(links.RESET, links.make(user.id, links.RESET))
        letter = letters.forced_reset(user.email, user.display_name, link)
    service(Mailer).send(**letter)


def end_sessions(who: Principal, user_id: UUID) -> int:
    """Sign somebody out everywhere; answers of how many sessions. ``Refused``: NOT_FOUND, FORBIDDEN."""
    user = authority.subject(who, user_id)
    ended = sessions.end_all(user.id, sessions.REVOKED)
    if ended:
        record("auth.user_sessions_ended", kind="user", id=user.id, after={"sessions": ended})
    return len(ended)


def delete(who: Principal, user_id: UUID) -> None:
    """Close the account, and have all that any plugin keeps of the person erased by a job.

    ``Refused``: NOT_FOUND, FORBIDDEN, LAST_ADMIN.
    """
    authority.check_may_remove(who, user_id)
    user = authority.subject(who, user_id)
    record("auth.user_deleted", kind="user", id=user.id, before={"active": user.active})
    personal.close(user.id, NOBODY)
