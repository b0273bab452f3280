"""Built-in roles: the ``Authorizer`` of a board on which no plugin provides one.

Someone may do a thing throughout the tenant when one of their roles carries its permission; on one resource when a
role was assigned on it, or on a parent of it; and read and write what they own. Everything else is denied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import current_app, g

from core.contracts import ALL, NONE, SUPER_ADMIN, Decision, IsOwner, OneOf, Or, Principal, ResourceType, Scope
from core.data.models import db
from core.data.tenancy import PLATFORM, current_tenant
from core.errors import UNKNOWN_ROLE, Refused
from core.registry.standins.assignments import Held, give, held_by, known_of, take, transaction
from core.trust.permissions import check_known, kind_named, known_permissions
from core.trust.scopes import holds

Chain = tuple[str, ...]
Reach = tuple[Scope, Chain]

ADMIN = "admin"
EVERYONE = "user"
ALL_POWERFUL = frozenset({SUPER_ADMIN, ADMIN})
"""These carry every permission that is declared, so that a plugin need not grant them any."""
GRANTS: dict[str, tuple[str, ...]] = {
    SUPER_ADMIN: (),
    ADMIN: (),
    "manager": ("users:read", "profile:read", "profile:write", "content:read", "content:write", "audit:read"),
    "editor": ("content:read", "content:write"),
    EVERYONE: ("content:read",),
}
OWNERS_MAY = frozenset({"read", "write"})


class BuiltInRoles:
    """Answers ``Authorizer``. Works inside a unit of work, and opens one of its own outside."""

    def __init__(self) -> None:
        self.grants = {role: set(permissions) for role, permissions in GRANTS.items()}
        for entry in current_app.extensions["pegboard.registry"].on:
            for role, permissions in entry.plugin.default_grants.items():
                self.grants.setdefault(role, set()).update(permissions)

    # -- asking --

    def decide(self, who: Principal, permission: str, kind: str | None = None, id: UUID | None = None) -> Decision:
        """``Refused(UNKNOWN_PERMISSION)``; ``LookupError`` for a kind that nobody declares."""
        if kind is not None and id is not None:
            return self.decide_many(who, permission, kind, [id])[id]
        check_known(permission)
        return _decision(permission, _everywhere(self._reaches(who, permission)))

    def decide_many(self, who: Principal, permission: str, kind: str, ids: Iterable[UUID]) -> dict[UUID, Decision]:
        """A decision for each id. What does not exist is denied, except to those who may do it everywhere."""
        check_known(permission)
        declared, wanted = kind_named(kind), list(dict.fromkeys(ids))
        reaches = self._reaches(who, permission, declared)
        everywhere = _everywhere(reaches)
        if everywhere or not reaches:
            return dict.fromkeys(wanted, _decision(permission, everywhere))
        with transaction():
            rows = _rows(declared, wanted)
            return {
                id: _decision(
                    permission,
                    [chain for scope, chain in reaches if id in rows and holds(scope, declared, rows[id])],
                )
                for id in wanted
            }

    def scope(self, who: Principal, permission: str, kind: str) -> Scope:
        check_known(permission)
        reaches = self._reaches(who, permission, kind_named(kind))
        if _everywhere(reaches):
            return ALL
        parts = _gathered(scope for scope, _ in reaches)
        return Or(parts) if len(parts) > 1 else parts[0] if parts else NONE

    def permissions_of(self, who: Principal) -> tuple[str, ...]:
        """Every permission that ``who`` holds throughout the tenant, sorted."""
        if who.kind == "system":
            return known_permissions()
        if _staff_inside(who):
            return tuple(permission for permission in known_permissions() if _may_ask(who, permission))
        roles = {held.role for held in _roles(who) if held.kind is None}
        return tuple(
            permission
            for permission in known_permissions()
            if _may_ask(who, permission) and any(self._carries(role, permission) for role in roles)
        )

    def roles_of(self, principal_id: UUID) -> tuple[str, ...]:
        """The roles held throughout the tenant, sorted; everyone is a ``user``."""
        held = {held.role for held in held_by(principal_id) if held.kind is None}
        return tuple(sorted(held | {EVERYONE}))

    def _reaches(self, who: Principal, permission: str, declared: ResourceType | None = None) -> list[Reach]:
        """Each way in which ``who`` comes to ``permission``: the rows that it opens, and what it rests on."""
        if who.kind == "system":
            return [(ALL, ("system",))]
        if not _may_ask(who, permission):
            return []
        person = f"{who.kind} {who.id}"
        if _staff_inside(who):
            return [(ALL, (person, f"role {SUPER_ADMIN} in {PLATFORM.slug}", permission))]
        found: list[Reach] = []
        for role, kind, id in _roles(who):
            if not self._carries(role, permission):
                continue
            if kind is None:
                found.append((ALL, (person, f"role {role}", permission)))
            elif id is not None and declared is not None and kind in (declared.kind, *declared.parents):
                found.append((OneOf(kind, (id,)), (person, f"role {role} on {kind} {id}", permission)))
        if who.id is not None and declared is not None and _is_owners(permission, declared):
            found.append((IsOwner(who.id), (person, f"owner of the {declared.kind}", permission)))
        return found

    def _carries(self, role: str, permission: str) -> bool:
        if role == SUPER_ADMIN and current_tenant().id != PLATFORM.id:
            return False
        return role in ALL_POWERFUL or permission in self.grants.get(role, ())

    # -- changing --

    def assign(self, principal_id: UUID, role: str, kind: str | None = None, id: UUID | None = None) -> None:
        """Give a role; giving it twice changes nothing. ``Refused(UNKNOWN_ROLE)``."""
        self._check_role(role)
        give(principal_id, Held(role, kind, id))

    def withdraw(self, principal_id: UUID, role: str, kind: str | None = None, id: UUID | None = None) -> None:
        """Take a role back. ``Refused(UNKNOWN_ROLE)``, unless it was held: what a plugin left behind can be taken."""
        if not take(principal_id, Held(role, kind, id)):
            self._check_role(role)

    def _check_role(self, role: str) -> None:
        if role == SUPER_ADMIN and current_tenant().id != PLATFORM.id:
            raise Refused(UNKNOWN_ROLE, f"{SUPER_ADMIN} exists only in the tenant {PLATFORM.slug}")
        if role not in self.grants:
            raise Refused(UNKNOWN_ROLE, f"there is no role {role!r}; there are {', '.join(sorted(self.grants))}")


def _may_ask(who: Principal, permission: str) -> bool:
    """Whether roles are worth looking at: a person of this tenant, whose key is not limited to other things."""
    if who.kind == "anonymous" or who.id is None:
        return False
    if who.tenant_id not in (None, current_tenant().id) and not _staff_inside(who):
        return False
    return who.limits is None or permission in who.limits


def _staff_inside(who: Principal) -> bool:
    """Platform staff inside another tenant: the edge has seen their role, for it lets nobody else in, and their reason.

    An account of the platform that comes here in any other way has none, and is nobody.
    """
    inside = who.kind == "user" and who.tenant_id == PLATFORM.id != current_tenant().id
    return inside and g.get("pegboard_acting_reason") is not None


def _roles(who: Principal) -> list[Held]:
    return [] if who.id is None else [Held(EVERYONE), *known_of(who.id)]


def _is_owners(permission: str, declared: ResourceType) -> bool:
    word, _, action = permission.partition(":")
    return declared.owner is not None and word == declared.word and action in OWNERS_MAY


def _everywhere(reaches: Iterable[Reach]) -> list[Chain]:
    return [chain for scope, chain in reaches if scope == ALL]


def _gathered(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """The same rows in fewer parts: one ``OneOf`` for each kind, however many were assigned."""
    ids: dict[str, dict[UUID, None]] = {}
    others: list[Scope] = []
    for scope in scopes:
        if isinstance(scope, OneOf):
            ids.setdefault(scope.parent, {}).update(dict.fromkeys(scope.ids))
        else:
            others.append(scope)
    return (*(OneOf(kind, tuple(of_kind)) for kind, of_kind in ids.items()), *others)


def _decision(permission: str, chains: list[Chain]) -> Decision:
    return Decision(True, chains[0]) if chains else Decision(False, missing=(permission,))


def _rows(declared: ResourceType, ids: list[UUID]) -> dict[UUID, Any]:
    """The rows, or documents, with these ids that exist in this tenant."""
    if hasattr(declared.model, "_get_collection"):
        found: dict[UUID, Any] = declared.model.objects.in_bulk(ids)
        return found
    column = declared.model.id
    rows = db.session.scalars(
        sa.select(declared.model).where(column == sa.any_(sa.literal(ids, sa.ARRAY(column.type))))
    )
    return {row.id: row for row in rows}
