"""Who may call what: the marks on views and socket messages, the permission words, and the kinds of resource.

A view says ``@public``, ``@signed_in`` or ``@requires("books:write", id="book_id")``; without one the board does
not boot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from uuid import UUID

from flask import Flask, current_app

from core.contracts import NONE, Authorizer, Decision, Principal, ResourceType, Scope, service
from core.errors import FORBIDDEN, TOKEN_MISSING, UNKNOWN_PERMISSION, BootError, Refused

F = TypeVar("F", bound=Callable[..., Any])

PERMISSION = re.compile(r"^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$")

BOARD_PERMISSIONS = (
    "users:read",
    "users:write",
    "profile:read",
    "profile:write",
    "content:read",
    "content:write",
    "audit:read",
)


@dataclass
class Marks:
    """What the decorators say of one view. ``access`` stays ``None`` until one of the three access marks is used."""

    access: Literal["public", "signed_in", "requires"] | None = None
    permission: str | None = None
    id_parameter: str | None = None
    scoped: bool = False
    tenantless: bool = False
    notes: dict[str, Any] = field(default_factory=dict)


def marks_of(function: Callable[..., Any]) -> Marks:
    """The marks of a function, made on first asking."""
    marks: Marks | None = getattr(function, "__pegboard__", None)
    if marks is None:
        marks = Marks()
        function.__pegboard__ = marks  # type: ignore[attr-defined]
    return marks


def _set_access(function: F, access: Literal["public", "signed_in", "requires"]) -> F:
    marks = marks_of(function)
    if marks.access is not None:
        raise BootError(
            f"{function.__module__}:{function.__qualname__} is marked both @{marks.access} and @{access}: keep one"
        )
    marks.access = access
    return function


def public(function: F) -> F:
    """Anyone may call this."""
    return _set_access(function, "public")


def signed_in(function: F) -> F:
    """Anyone who is signed in may call this."""
    return _set_access(function, "signed_in")


def requires(permission: str, *, id: str | None = None, scoped: bool = False) -> Callable[[F], F]:
    """Only who holds ``permission``; ``id`` names the path parameter with the resource that it is about.

    ``scoped``: whoever holds it for some rows may ask, and the view shows those alone (``scope_of``).
    """
    if not isinstance(permission, str):
        raise BootError('@requires names no permission: write @requires("word:action")')
    if not PERMISSION.match(permission):
        raise BootError(f"{permission!r} is not a permission: write it as word:action, such as books:read")

    def mark(function: F) -> F:
        marks = marks_of(_set_access(function, "requires"))
        marks.permission, marks.id_parameter, marks.scoped = permission, id, scoped
        return function

    return mark


def tenantless(function: F) -> F:
    """This route belongs to no tenant (health, metrics, public keys)."""
    marks_of(function).tenantless = True
    return function


# -- words ------------------------------------------------------------------------------------------------------


def init_app(app: Flask) -> None:
    app.extensions["pegboard.permissions"] = dict.fromkeys(BOARD_PERMISSIONS, "core")


def declare(app: Flask, owner: str, permissions: Iterable[str]) -> list[str]:
    """Add a plugin's permissions; answers with what is wrong with them. A word belongs to one owner."""
    known: dict[str, str] = app.extensions["pegboard.permissions"]
    faults = []
    for permission in permissions:
        word = permission.partition(":")[0]
        holder = next((who for name, who in known.items() if name.partition(":")[0] == word and who != owner), None)
        if not PERMISSION.match(permission):
            faults.append(f"plugin {owner}: {permission!r} is not a permission; write it as word:action")
        elif holder:
            faults.append(f"plugin {owner}: permission {permission} uses the word {word!r} of {holder}; choose another")
        else:
            known[permission] = owner
    return faults


def known_permissions() -> tuple[str, ...]:
    return tuple(sorted(current_app.extensions["pegboard.permissions"]))


def check_known(permission: str) -> None:
    """``Refused(UNKNOWN_PERMISSION)`` unless someone on this board declares it."""
    if permission not in current_app.extensions["pegboard.permissions"]:
        raise Refused(UNKNOWN_PERMISSION, f"{permission!r} is declared by no plugin of this board")


# -- resources --------------------------------------------------------------------------------------------------

_kinds: dict[str, ResourceType] = {}


def resource_type(declared: ResourceType) -> ResourceType:
    """Declare a kind of resource, beside its model: ``BOOK = resource_type(ResourceType("book", "books", Book))``."""
    before = _kinds.setdefault(declared.kind, declared)
    if before.model is not declared.model:
        raise BootError(f"resource kind {declared.kind!r} is declared twice; a kind names one model")
    _kinds[declared.kind] = declared
    return declared


def kind_named(kind: str) -> ResourceType:
    """The resource type of a kind; ``LookupError`` when no model declares it."""
    try:
        return _kinds[kind]
    except KeyError:
        raise LookupError(f"no model declares the resource kind {kind!r} with resource_type()") from None


def kind_of(permission: str) -> ResourceType | None:
    """The resource type whose word the permission speaks of."""
    word = permission.partition(":")[0]
    return next((declared for declared in _kinds.values() if declared.word == word), None)


# -- asking -----------------------------------------------------------------------------------------------------


def enforce(who: Principal, marks: Marks, id: UUID | None = None) -> Decision | None:
    """Let the call through or raise ``Refused``: TOKEN_MISSING (401) for a stranger, FORBIDDEN (403) otherwise."""
    if marks.access == "public":
        return None
    if who.kind == "anonymous":
        raise Refused(TOKEN_MISSING, headers={"WWW-Authenticate": "Bearer"})
    if marks.permission is None or marks.scoped:
        return None
    declared = kind_of(marks.permission) if id is not None else None
    if id is not None and declared is None:
        raise LookupError(f"@requires({marks.permission!r}, id=…): no resource_type() uses that word")
    decision = service(Authorizer).decide(who, marks.permission, declared.kind if declared else None, id)
    if not decision.allowed:
        raise Refused(FORBIDDEN, f"this needs {' and '.join(decision.missing) or marks.permission}")
    return decision


def check_for(who: Principal, permission: str) -> None:
    """``Refused(FORBIDDEN)`` unless ``who`` holds the permission throughout the tenant."""
    decision = service(Authorizer).decide(who, permission)
    if not decision.allowed:
        raise Refused(FORBIDDEN, f"this needs {' and '.join(decision.missing) or permission}")


def scope_of(who: Principal, permission: str, kind: str) -> Scope:
    """The rows of a kind for which ``who`` holds ``permission``. ``Refused(FORBIDDEN)`` where that is none at all."""
    found = service(Authorizer).scope(who, permission, kind)
    if found == NONE:
        raise Refused(FORBIDDEN, f"this needs {permission}")
    return found
