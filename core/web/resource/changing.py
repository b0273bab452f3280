"""The views that change: create, replace, patch, delete, restore. Each change is one row of the audit log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from flask import request

from core.data.repeating import is_repeatable, repeatable
from core.errors import CONFLICT, PRECONDITION_FAILED, PRECONDITION_REQUIRED
from core.trust import audit
from core.trust.identity import current_principal
from core.trust.permissions import marks_of
from core.web.bodies import MERGE_PATCH
from core.web.openapi import refuses
from core.web.replies import Created, Reply, etag_of, if_match
from core.web.resource.patches import patch_type, patched
from core.web.resource.reading import Views, missing, typed
from core.web.resource.store import Deleted

if TYPE_CHECKING:
    from core.web.resource.declaration import Resource

UNTOLD = frozenset({"id", "tenant_id", "version", "created_at", "updated_at"})


class Changes:
    """What may be done to the rows of one resource. Within a unit; the caller has the permission in general."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.store = resource.store
        self.rules = resource.rules

    def create(self, body: Any) -> Any:
        rule = self.rules.get("create")
        entity = rule(body) if rule else self.store.added(self._owned(plain(body)))
        self._record("created", entity, None, self.told(entity))
        return entity

    def create_many(self, bodies: Sequence[Any]) -> None:
        """The same for many rows, by few statements where no rule of the resource's own makes them."""
        if "create" in self.rules:
            for body in bodies:
                self.create(body)
            return
        for entity in self.store.added_many([self._owned(plain(body)) for body in bodies]):
            self._record("created", entity, None, self.told(entity))

    def replace(self, entity: Any, body: Any) -> None:
        before = self.told(entity)
        if "replace" in self.rules:
            self.rules["replace"](entity, body)
        else:
            self.store.changed(entity, plain(body))
        after = self.told(entity)
        changed = {name for name in after if after[name] != before[name]}
        if changed:
            self._record(
                "changed", entity, *({name: told[name] for name in sorted(changed)} for told in (before, after))
            )

    def patch(self, entity: Any, patch: Any) -> None:
        whole = self.resource.body
        assert whole is not None
        current = {name: getattr(entity, name) for name in whole.__struct_fields__}
        self.replace(entity, patched(current, patch, whole))

    def delete(self, entity: Any) -> None:
        before = self.told(entity)
        self.rules.get("delete", self.store.removed)(entity)
        self._record("deleted", entity, before, None)

    def restore(self, entity: Any) -> None:
        if not self.store.is_deleted(entity):
            return
        self.rules.get("restore", self.store.restored)(entity)
        self._record("restored", entity, None, self.told(entity))

    def locked(self, action: str, id: UUID, deleted: Deleted = "exclude") -> Any:
        """The row to change, for this caller. ``Refused``: NOT_FOUND, FORBIDDEN."""
        scope = self.resource.scope(action)
        entity = self.store.locked(id, scope, deleted)
        if entity is None:
            raise missing(scope, self.resource)
        return entity

    def told(self, entity: Any) -> dict[str, Any]:
        """What the audit log keeps of a row: the columns that the output is made of."""
        return msgspec.to_builtins(
            {name: getattr(entity, name) for name in self.resource.shape.columns() if name not in UNTOLD}
        )

    def _owned(self, values: dict[str, Any]) -> dict[str, Any]:
        owner = self.resource.declared.owner
        if owner is not None and values.get(owner) is None:
            values[owner] = current_principal().id
        return values

    def _record(self, what: str, entity: Any, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        plugin = (request.blueprint or "core").partition(".")[0]
        audit.record(
            f"{plugin}.{self.resource.kind}_{what}", kind=self.resource.kind, id=entity.id, before=before, after=after
        )


def plain(body: msgspec.Struct) -> dict[str, Any]:
    """The fields of a body as columns take them: Structs within, and lists of them, as plain JSON."""
    return {name: _plain(getattr(body, name)) for name in body.__struct_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if isinstance(value, list | tuple) and any(isinstance(each, msgspec.Struct) for each in value):
        return msgspec.to_builtins(value)
    return value


def tag(resource: Resource, entity: Any) -> str | None:
    return etag_of(entity.version) if resource.store.versioned else None


# -- the views --------------------------------------------------------------------------------------------------


def create_view(resource: Resource) -> None:
    changes = Changes(resource)

    def view(body: Any) -> Any:
        entity = changes.create(body)
        return Created(
            resource.shape.whole(entity), location=f"{request.path.rstrip('/')}/{entity.id}", etag=tag(resource, entity)
        )

    out: Any = resource.shape.out
    marks_of(view).notes["makes"] = resource.kind
    _add(resource, "create", "post", "", view, f"Add a {resource.kind}.", body=resource.create, reply=Created[out])


def replace_view(resource: Resource) -> None:
    changes = Changes(resource)

    def view(id: UUID, body: Any) -> Any:
        return _changed(resource, changes, "replace", id, lambda entity: changes.replace(entity, body))

    out: Any = resource.shape.out
    view = refuses(PRECONDITION_FAILED, PRECONDITION_REQUIRED)(view)
    doc = f"Put a {resource.kind} in the place of this version of it."
    _add(resource, "replace", "put", "/<uuid:id>", view, doc, id=UUID, body=resource.body, reply=Reply[out])


def patch_view(resource: Resource) -> None:
    changes = Changes(resource)

    def view(id: UUID, body: Any) -> Any:
        return _changed(resource, changes, "patch", id, lambda entity: changes.patch(entity, body))

    assert resource.body is not None
    out: Any = resource.shape.out
    view = refuses(PRECONDITION_FAILED, PRECONDITION_REQUIRED)(view)
    marks_of(view).notes["media"] = MERGE_PATCH
    doc = f"Change some fields of a {resource.kind} (JSON Merge Patch, RFC 7396)."
    _add(resource, "patch", "patch", "/<uuid:id>", view, doc, id=UUID, body=patch_type(resource.body), reply=Reply[out])


def _changed(resource: Resource, changes: Changes, action: str, id: UUID, change: Callable[[Any], None]) -> Reply[Any]:
    entity = changes.locked(action, id)
    if_match(entity.version)
    change(entity)
    return Reply(resource.shape.whole(entity), etag=tag(resource, entity))


def delete_view(resource: Resource) -> None:
    changes = Changes(resource)

    def view(id: UUID) -> None:
        entity = changes.locked("delete", id)
        if resource.store.versioned:
            if_match(entity.version, required=False)
        changes.delete(entity)

    view = refuses(PRECONDITION_FAILED)(view)
    again = "; it can be restored" if resource.store.soft else ""
    doc = f"Delete a {resource.kind}{again}.\n\nWith `If-Match`, only this version of it."
    _add(resource, "delete", "delete", "/<uuid:id>", view, doc, id=UUID, reply=None)


def restore_view(resource: Resource) -> None:
    changes = Changes(resource)

    def view(id: UUID) -> Any:
        entity = changes.locked("restore", id, "include")
        changes.restore(entity)
        return Reply(resource.shape.whole(entity), etag=tag(resource, entity))

    view = refuses(CONFLICT)(view)
    out: Any = resource.shape.out
    doc = f"Take back the deletion of a {resource.kind}; one that is not deleted stays as it is."
    _add(resource, "restore", "post", "/<uuid:id>/restore", view, doc, id=UUID, reply=Reply[out])


def _add(resource: Resource, action: str, method: str, rule: str, view: Any, doc: str, **contract: Any) -> None:
    view = typed(view, f"{action}_{resource.kind}", doc, **contract)
    if all(is_repeatable(rule) for rule in resource.rules.values()):
        view = repeatable(view)
    getattr(resource.routes, method)(f"{resource.path}{rule}")(resource.guarded(action, view))


VIEWS: Views = {
    "create": create_view,
    "replace": replace_view,
    "patch": patch_view,
    "delete": delete_view,
    "restore": restore_view,
}
