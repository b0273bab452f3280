"""Who may administrate whom: ``users:write`` alone makes nobody an administrator, nor lets them touch one.

Whoever holds the tenant's administrating role, staff who act inside it, and commands are bound by none of this.
Everybody else gives only roles that they hold, and leaves administrators alone. Roles are read anew each time, and the
account that asks is looked at again: called after a row was locked, these see what others did meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa

from core.contracts import SUPER_ADMIN, Authorizer, Principal, service
from core.data import PLATFORM, current_tenant, db
from core.errors import CONFLICT, FORBIDDEN, TOKEN_INVALID, Refused
from plugins.auth.models import User
from plugins.auth.services import administrators, sessions

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
    """``Refused(FORBIDDEN)`` where the user administrates and ``who`` does not."""
    if not _unbounded(who) and PROTECTED.intersection(service(Authorizer).roles_of(user_id)):
        raise Refused(FORBIDDEN, "only an administrator may change an administrator")


def check_may_give(who: Principal, roles: Iterable[str]) -> None:
    """``Refused(FORBIDDEN)`` for a role that ``who`` neither holds nor, as an administrator, disposes of."""
    if _unbounded(who):
        return
    beyond = sorted(set(roles) - set(_held(who)))
    if beyond:
        raise Refused(FORBIDDEN, f"you may give only roles that you hold, and {', '.join(beyond)} you do not")


def check_may_remove(who: Principal, user_id: UUID) -> None:
    """Before somebody is switched off or deleted. ``Refused``: FORBIDDEN, LAST_ADMIN. Call it before ``subject``."""
    check_may_touch(who, user_id)
    administrators.check_not_last(user_id, who.id)
    if who.id == user_id and not _staff_inside(who):
        raise Refused(FORBIDDEN, "this is for others; of your own account you dispose under /api/auth/me")


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
