"""The people of a tenant, as those who administrate see them: listing, showing, adding, editing.

Administrators leave no IP address in anybody's history: an event of their doing says ``by`` whom it was. Names and
addresses stand in events, which go with the account; the audit log, which keeps everything, tells what was changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from core.contracts import Authorizer, Principal, service
from core.data import db, unit
from core.errors import NOT_FOUND, Refused
from core.trust import record
from core.web import Page, paginate
from plugins.auth.models import User
from plugins.auth.passwords import chosen
from plugins.auth.services import authority, events, links, people
from plugins.auth.user_schemas import EditUser, ManagedUser, ManagedUserWithRoles, NewUser, UsersQuery


def page(query: UsersQuery) -> Page[ManagedUser]:
    """Some of the tenant's people, newest first. Their roles are told one by one: no question asks for many."""
    wanted = sa.select(User)
    if query.active is not None:
        wanted = wanted.where(User.active.is_(query.active))
    if query.search is not None:
        # No index serves a part of a text. The rows are walked newest first, along the unique index on (tenant_id, id),
        # until the page is full: a rare search reads the whole tenant, and none reads another's.
        like = (column.icontains(query.search, autoescape=True) for column in (User.email, User.display_name))
        wanted = wanted.where(sa.or_(*like))
    found: Page[ManagedUser] = paginate(wanted, ((User.id, "desc"),), query).map(_row)
    return found


def get(user_id: UUID) -> ManagedUserWithRoles:
    """``Refused(NOT_FOUND)``."""
    user = db.session.scalars(sa.select(User).where(User.id == user_id)).one_or_none()
    if user is None:
        raise Refused(NOT_FOUND)
    return shown(user)


def by_address(email: str) -> User:
    """``Refused``: VALIDATION_FAILED, NOT_FOUND."""
    user = people.find(people.acceptable(email))
    if user is None:
        raise Refused(NOT_FOUND, "nobody has this address")
    return user


def shown(user: User) -> ManagedUserWithRoles:
    return ManagedUserWithRoles(**_facts(user), roles=service(Authorizer).roles_of(user.id))


def version_of(user: ManagedUserWithRoles) -> bytes:
    """What an entity tag is made of: all that is told, for roles change without the row."""
    return msgspec.json.encode(user)


def create(who: Principal, new: NewUser) -> ManagedUserWithRoles:
    """Add somebody. ``Refused``: VALIDATION_FAILED, EMAIL_TAKEN, UNKNOWN_ROLE, FORBIDDEN, BUSY. Opens a unit."""
    address, name = people.acceptable(new.email), people.acceptable_name(new.display_name)
    digest = chosen(new.password) if new.password is not None else None
    with unit():
        user = User(email=address, display_name=name, password_hash=digest)
        people.add(user)
        give(who, user.id, new.roles)
        told = shown(user)
        record("auth.user_created", kind="user", id=user.id, after={"roles": told.roles})
        note(events.CREATED, who, user)
        return told


def change(who: Principal, user: User, edit: EditUser) -> ManagedUserWithRoles:
    """Edit a user that is locked. ``Refused``: VALIDATION_FAILED, EMAIL_TAKEN.

    No mail goes round: an administrator vouches for the address. Links that went to the old one die.
    """
    before = {"display_name": user.display_name, "email": user.email}
    if edit.display_name is not msgspec.UNSET:
        user.display_name = people.acceptable_name(edit.display_name)
    if edit.email is not msgspec.UNSET:
        user.email = people.acceptable(edit.email)
    after = {"display_name": user.display_name, "email": user.email}
    changed = [name for name in before if before[name] != after[name]]
    if not changed:
        return shown(user)
    if "email" in changed:
        user.email_verified_at = None
        people.flush_unique()
        links.forget(user.id)
        note(events.EMAIL_CHANGED, who, user, before=before["email"])
    if "display_name" in changed:
        note(events.EDITED, who, user, before=before["display_name"])
    record("auth.user_changed", kind="user", id=user.id, after={"changed": changed})
    return shown(user)


def give(who: Principal, user_id: UUID, roles: Iterable[str]) -> None:
    """Give roles, all or none. ``Refused``: FORBIDDEN, UNKNOWN_ROLE."""
    fresh = set(roles) - {authority.EVERYONE}
    authority.check_may_give(who, fresh)
    for role in sorted(fresh):
        service(Authorizer).assign(user_id, role)


def note(kind: str, who: Principal, user: User, **details: Any) -> None:
    """What an administrator did, in the history of the user that it was done to."""
    events.note(kind, user_id=user.id, account=user.email, by=str(who.id) if who.id else who.kind, **details)


def _row(user: User) -> ManagedUser:
    return ManagedUser(**_facts(user))


def _facts(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "display_name": user.display_name,
        "active": user.active,
        "must_reset": user.must_reset,
        "email_verified_at": user.email_verified_at,
        "has_password": user.password_hash is not None,
        "erase_asked_at": user.erase_asked_at,
        "created_at": user.created_at,
    }
