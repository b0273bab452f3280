"""Administration of people. ``users:write`` does not lift anybody above themselves: see ``services/authority``."""

from __future__ import annotations

from uuid import UUID

from core.data import in_steps
from core.errors import CONFLICT, FORBIDDEN, NOT_FOUND, UNKNOWN_ROLE
from core.trust import current_principal, requires
from core.web import Created, Page, PageQuery, Reply, etag_of, if_match, keyless
from core.web.openapi import refuses
from plugins.auth.api import EMAIL_TAKEN, LAST_ADMIN
from plugins.auth.schemas import EventReply, SessionList
from plugins.auth.services import authority, compromised, events, invitations, sessions, user_states, users
from plugins.auth.user_schemas import (
    Compromised,
    EditUser,
    Invite,
    ManagedUser,
    ManagedUserWithRoles,
    NewUser,
    SetRoles,
    Timeline,
    UsersQuery,
)
from plugins.auth.views.routes import routes


def tagged(user: ManagedUserWithRoles) -> Reply[ManagedUserWithRoles]:
    return Reply(user, etag=etag_of(users.version_of(user)))


def created(user: ManagedUserWithRoles) -> Created[ManagedUserWithRoles]:
    return Created(user, location=f"/api/auth/users/{user.id}", etag=etag_of(users.version_of(user)))


@routes.get("/users")
@requires("users:read")
def list_users(query: UsersQuery) -> Page[ManagedUser]:
    """The people of the tenant, newest first. Roles are told with each one, not here."""
    return users.page(query)


@routes.post("/users")
@requires("users:write")
@refuses(EMAIL_TAKEN, UNKNOWN_ROLE, FORBIDDEN)
@in_steps
def create_user(body: NewUser) -> Created[ManagedUserWithRoles]:
    """Add somebody, at once and without a mail. You may give only roles that you hold, unless you administrate."""
    return created(users.create(current_principal(), body))


@routes.post("/users/invite")
@requires("users:write")
@refuses(EMAIL_TAKEN, UNKNOWN_ROLE, FORBIDDEN, CONFLICT)
def invite_user(body: Invite) -> Created[ManagedUserWithRoles]:
    """Have somebody mailed a link with which they choose a password; the roles are theirs from then on.

    Asked again before that, a new link is mailed and the earlier one dies.
    """
    return created(invitations.invite(current_principal(), body))


@routes.get("/users/<uuid:user_id>")
@requires("users:read")
@refuses(NOT_FOUND)
def get_user(user_id: UUID) -> Reply[ManagedUserWithRoles]:
    """One of the tenant's people, with roles."""
    return tagged(users.get(user_id))


@routes.patch("/users/<uuid:user_id>")
@requires("users:write")
@refuses(NOT_FOUND, FORBIDDEN, CONFLICT, EMAIL_TAKEN)
def edit_user(user_id: UUID, body: EditUser) -> Reply[ManagedUserWithRoles]:
    """Change name or address of somebody who has not changed since you read them: send the `ETag` as `If-Match`."""
    who = current_principal()
    user = authority.subject(who, user_id)
    if_match(users.version_of(users.shown(user)))
    return tagged(users.change(who, user, body))


@routes.delete("/users/<uuid:user_id>")
@requires("users:write")
@refuses(NOT_FOUND, FORBIDDEN, CONFLICT, LAST_ADMIN)
def delete_user(user_id: UUID) -> None:
    """Sign somebody out for good and erase what is kept of them; that goes on after the reply."""
    user_states.delete(current_principal(), user_id)


@routes.post("/users/<uuid:user_id>/disable")
@requires("users:write")
@refuses(NOT_FOUND, FORBIDDEN, CONFLICT, LAST_ADMIN)
def disable_user(user_id: UUID) -> Reply[ManagedUserWithRoles]:
    """Let somebody in no more; every session ends at once."""
    return tagged(user_states.disable(current_principal(), user_id))


@routes.post("/users/<uuid:user_id>/enable")
@requires("users:write")
@refuses(NOT_FOUND, FORBIDDEN, CONFLICT)
def enable_user(user_id: UUID) -> Reply[ManagedUserWithRoles]:
    """Let somebody in again."""
    return tagged(user_states.enable(current_principal(), user_id))


@routes.put("/users/<uuid:user_id>/roles")
@requires("users:write")
@refuses(NOT_FOUND, FORBIDDEN, CONFLICT, LAST_ADMIN, UNKNOWN_ROLE)
def set_roles(user_id: UUID, body: SetRoles) -> Reply[ManagedUserWithRoles]:
    """Say which roles somebody has throughout the tenant; `user` is everyone's."""
    return tagged(user_states.set_roles(current_principal(), user_id, body.roles))


@routes.post("/users/<uuid:user_id>/force-reset")
@requires("users:write")
@refuses(NOT_FOUND, FORBIDDEN, CONFLICT)
def force_reset(user_id: UUID) -> Reply[ManagedUserWithRoles]:
    """Make somebody choose another password, by a link that is mailed; every session ends at once."""
    return tagged(user_states.force_reset(current_principal(), user_id))


@routes.post("/users/<uuid:user_id>/compromised")
@requires("users:write")
@keyless  # repeating it does no harm, and a timeline is no small reply to keep
@refuses(NOT_FOUND, FORBIDDEN, CONFLICT)
def compromised_user(user_id: UUID, body: Compromised) -> Timeline:
    """ "This account was hacked": end every session, kill every link, force a reset, and tell what happened.

    The timeline has the account's sessions, also ended ones, and its events of the last 90 days. API keys are not
    there yet; once they are, they are revoked here too.
    """
    return compromised.respond(current_principal(), user_id, body.reason)


@routes.get("/users/<uuid:user_id>/sessions")
@requires("users:read")
@refuses(NOT_FOUND)
def list_user_sessions(user_id: UUID) -> SessionList:
    """Where somebody is signed in, the last used first."""
    return SessionList(sessions.listed(users.get(user_id).id, current_principal().session_id))


@routes.delete("/users/<uuid:user_id>/sessions")
@requires("users:write")
@refuses(NOT_FOUND, FORBIDDEN, CONFLICT)
def end_user_sessions(user_id: UUID) -> None:
    """Sign somebody out everywhere."""
    user_states.end_sessions(current_principal(), user_id)


@routes.get("/users/<uuid:user_id>/history")
@requires("users:read")
@refuses(NOT_FOUND)
def user_history(user_id: UUID, query: PageQuery) -> Page[EventReply]:
    """What happened to somebody's account, newest first."""
    return events.of_user(users.get(user_id).id, query)
