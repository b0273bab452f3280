"""``Resource``: what an author says of a resource, checked when it is said, and turned into routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from core.contracts import ALL, Principal, ResourceType, Scope
from core.errors import BootError
from core.trust.identity import current_principal
from core.trust.permissions import requires, scope_of
from core.web.resource import bulk, changing, exporting, importing, reading
from core.web.resource.conditions import Parameter, parameters, relations
from core.web.resource.shapes import Computed, Include, Many, Shape
from core.web.resource.sql_store import SqlStore
from core.web.resource.store import Sort, Store
from core.web.routes import Routes

READS = ("list", "get", "history", "export")
WRITES = ("create", "replace", "patch", "delete", "restore", "bulk", "import")
ACTIONS = READS + WRITES
SCOPED = ("list", "get", "history", "export", "replace", "patch", "delete", "restore", "bulk")

VIEWS = reading.VIEWS | changing.VIEWS | bulk.VIEWS | importing.VIEWS | exporting.VIEWS

Access = str | Callable[[Any], Any]
"""A permission, or one of the marks ``public`` and ``signed_in`` themselves."""


class Resource:
    """The routes of one resource under ``path``, such as ``/books``.

    ``actions``: some of ``ACTIONS``; those that the model or the schemas do not allow are left out by default.
    ``body`` is what create and replace take, and patch in parts; ``create`` a Struct of its own for creating.
    ``permissions``: action -> permission, ``public`` or ``signed_in``; else ``<word>:read`` and ``<word>:write``.
    ``rules``: action -> a service that does it in place of the plain change: create(body), replace(entity, body), which
    patch calls too, delete(entity), restore(entity); create answers the new entity.
    ``search``: the tsvector column and the text search configuration that it is made with.
    Raises ``BootError`` for what cannot work, with its cure.
    """

    def __init__(
        self,
        routes: Routes,
        path: str,
        declared: ResourceType,
        *,
        out: type[msgspec.Struct],
        body: type[msgspec.Struct] | None = None,
        create: type[msgspec.Struct] | None = None,
        actions: Sequence[str] | None = None,
        filters: tuple[str, ...] = (),
        sorts: tuple[str, ...] = ("-id",),
        include: Mapping[str, Include] | None = None,
        computed: Mapping[str, Computed] | None = None,
        search: tuple[str, str] | None = None,
        permissions: Mapping[str, Access] | None = None,
        rules: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.routes = routes
        self.path = path
        self.declared = declared
        self.plural = path.strip("/").replace("/", "_").replace("-", "_")
        self.kind = declared.kind
        self.body = body
        self.create = create or body
        self.include = dict(include or {})
        self.shape = Shape(out, dict(computed or {}), self.include)
        self.store: Store = SqlStore(declared, self.include, search)
        self.sorts = tuple(Sort.of(text) for text in sorts)
        self.filters = filters
        self.search = search
        self.permissions = dict(permissions or {})
        self.rules = dict(rules or {})
        self.actions = self._chosen(actions)
        if faults := self._faults():
            raise BootError(*(f"resource {path}: {fault}" for fault in faults))
        for action in self.actions:
            VIEWS[action](self)

    # -- what it is --

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The filters of its list."""
        found = list(parameters(self.shape.out, self.filters, self.store.nullable()))
        for name, told in relations(self.include):
            found += parameters(told.out, told.filters, frozenset(), name)
        return found

    def permission(self, action: str) -> Access:
        word = "read" if action in READS else "write"
        alike = {"import": "create", "export": "list"}.get(action, action)
        return self.permissions.get(action, self.permissions.get(alike, f"{self.declared.word}:{word}"))

    def guarded(self, action: str, view: Callable[..., Any]) -> Callable[..., Any]:
        """The view, marked with who may call it."""
        access = self.permission(action)
        if isinstance(access, str):
            return requires(access, scoped=action in SCOPED)(view)
        return access(view)

    def scope(self, action: str, who: Principal | None = None) -> Scope:
        """The rows on which the caller may do this. ``Refused(FORBIDDEN)`` where there are none."""
        access = self.permission(action)
        return scope_of(who or current_principal(), access, self.kind) if isinstance(access, str) else ALL

    # -- whether it can work --

    def _chosen(self, actions: Sequence[str] | None) -> tuple[str, ...]:
        if actions is not None:
            if isinstance(actions, str) or (strange := sorted(set(actions) - set(ACTIONS))):
                told = repr(actions) if isinstance(actions, str) else ", ".join(strange)
                raise BootError(f"resource {self.path}: actions has {told}; take some of {', '.join(ACTIONS)}")
            return tuple(action for action in ACTIONS if action in actions)
        lacking = {action for action in ("replace", "patch") if self.body is None or not self.store.versioned}
        lacking |= {"create", "import"} if self.create is None else set()
        lacking |= set() if self.store.soft else {"restore"}
        return tuple(action for action in ACTIONS if action not in lacking)

    def _faults(self) -> list[str]:
        shown = tuple(name for name in self.shape.names if name not in self.shape.computed)
        needed = tuple(column for each in self.shape.computed.values() for column in each.columns)
        found = self.store.faults(dict.fromkeys(shown + needed), self.sorts, self.search and self.search[0])
        if "id" not in self.shape.names:
            found.append(f"{self.shape.out.__name__} has no id: UUID, by which clients ask for it again; add it")
        if not self.sorts:
            found.append("sorts is empty; name what a list is sorted by, such as ('-created_at',)")
        for action in ("replace", "patch"):
            if action in self.actions and not self.store.versioned:
                found.append(f"{action} needs versions, or changes get lost: derive the model from core.data.Versioned")
            if action in self.actions and self.body is None:
                found.append(f"{action} needs body=, the Struct that it takes")
        if "restore" in self.actions and not self.store.soft:
            found.append("restore needs deleted rows to be kept: derive the model from core.data.SoftDeleted")
        found += (
            f"{action} needs body=, the Struct that it takes"
            for action in ("create", "import")
            if action in self.actions and self.create is None
        )
        for name, told in self.include.items():
            if isinstance(told, Many) and not told.sort.removeprefix("-"):
                found.append(f"include {name!r} has no sort")
        return found
