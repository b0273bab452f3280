"""Who may administrate whom: ``users:write`` alone lifts nobody above themselves, by their own account or another's.

Whoever holds the tenant's administrating role, staff who act inside it, and commands are bound by none of this.
Everybody else gives and takes only roles that they hold, and touches only people who have no others: whoever sets the
address of an account can be mailed its next password. Roles that wait in a link count as held. Roles are read anew each
time, and the account that asks is looked at again: called after a row was locked, these see what others did meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.contracts import SUPER_ADMIN, Authorizer, Principal, service
from core.data import PLATFORM, acting_in, current_tenant, db, unit
from core.errors import CONFLICT, FORBIDDEN, TOKEN_INVALID, Refused
from plugins.auth.models import User
from plugins.auth.services import administrators, promises, sessions

EVERYONE = "user"
"""The role that everybody has and nobody is given."""
PROTECTED = frozenset({"admin", SUPER_ADMIN})


def subject(who: Principal, user_id: UUID) -> User:
    """The user that somebody is about to change, locked. ``Refused``: NOT_FOUND, FORBIDDEN, TOKEN_INVALID, CONFLICT."""
    user = sessions.locked(user_id)
    check_may_touch(who, user_id)
    check_stays(user)
    return user


def check_stays(user: User) -> None:
    """``Refused(CONFLICT)`` for an account that is being erased: nothing brings it back."""
    if user.erase_asked_at is not None:
        raise Refused(CONFLICT, "it is being erased")


def check_may_touch(who: Principal, user_id: UUID) -> None:
    """``Refused(FORBIDDEN)`` where the user has a role, or is about to, that ``who`` has not."""
    if _unbounded(who):
        return
    theirs = {*service(Authorizer).roles_of(user_id), *promises.waiting(user_id)}
    if PROTECTED & theirs:
        raise Refused(FORBIDDEN, "only an administrator may change an administrator")
    if theirs.difference(_held(who)):
        raise Refused(FORBIDDEN, "you may change only people all of whose roles you hold yourself")


def check_may_give(who: Principal, roles: Iterable[str]) -> None:
    """``Refused(FORBIDDEN)`` for a role that ``who`` neither holds nor, as an administrator, disposes of."""
    _check_disposes(who, roles, "give")


def check_may_take(who: Principal, roles: Iterable[str]) -> None:
    """As ``check_may_give``, before roles are withdrawn."""
    _check_disposes(who, roles, "take")


def _check_disposes(who: Principal, roles: Iterable[str], what: str) -> None:
    if _unbounded(who):
        return
    beyond = sorted(set(roles) - set(_held(who)))
    if beyond:
        raise Refused(FORBIDDEN, f"you may {what} only roles that you hold, and {', '.join(beyond)} you do not")


def check_may_remove(who: Principal, user_id: UUID) -> None:
    """Before somebody is switched off or deleted. ``Refused``: FORBIDDEN, LAST_ADMIN. Call it before ``subject``."""
    check_may_touch(who, user_id)
    administrators.check_not_last(user_id, who.id)
    if who.id == user_id and not _staff_inside(who):
        raise Refused(FORBIDDEN, "this is for others; of your own account you dispose under /api/auth/me")


def promiser(who: Principal) -> dict[str, Any]:
    """What a link's details say of whoever promises roles; nothing of a command."""
    if who.id is None:
        return {}
    return {"by": str(who.id), "staff": True} if _staff_inside(who) else {"by": str(who.id)}


def staff_stands(details: Mapping[str, Any]) -> bool:
    """Whether it was staff of the platform who promised, and they still are. Opens a unit, over there."""
    if not details.get("staff"):
        return False
    with acting_in(PLATFORM), unit():
        inviter = UUID(details["by"])
        return _able(inviter) and SUPER_ADMIN in service(Authorizer).roles_of(inviter)


def still_given(details: Mapping[str, Any], staff: bool) -> set[str]:
    """The promised roles which whoever promised them may give now; ``staff`` is what ``staff_stands`` said."""
    roles = promises.roles_in(details)
    if "by" not in details:
        return roles
    if details.get("staff"):
        return roles if staff else set()
    inviter = UUID(details["by"])
    who = Principal(kind="user", id=inviter, tenant_id=current_tenant().id)
    if not _able(inviter) or not service(Authorizer).decide(who, "users:write"):
        return set()
    held = service(Authorizer).roles_of(inviter)
    return roles if administrators.administrating_role() in held else roles.intersection(held)


def _able(user_id: UUID) -> bool:
    """Whether somebody could sign in and do it now."""
    able = sa.select(User.id).where(User.id == user_id, User.active, User.must_reset.is_(False))
    return db.session.scalar(able) is not None


def _unbounded(who: Principal) -> bool:
    if who.kind == "system" or _staff_inside(who):
        return True
    return administrators.administrating_role() in _held(who)


def _held(who: Principal) -> tuple[str, ...]:
    """The roles that ``who`` can lend weight to. A key that is limited to some things lends none."""
    if who.id is None or who.limits is not None:
        return (EVERYONE,)
    if not db.session.scalar(sa.select(User.active).where(User.id == who.id)):
        raise Refused(TOKEN_INVALID)  # switched off since the request began
    return service(Authorizer).roles_of(who.id)


def _staff_inside(who: Principal) -> bool:
    """Only ``super_admin`` gets from the platform into another tenant, and that was seen at the edge."""
    return who.tenant_id == PLATFORM.id and current_tenant().id != PLATFORM.id
