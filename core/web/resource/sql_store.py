"""Resources in PostgreSQL. Lists read rows, by statements that are built once for each shape of question.

A shape is everything but the values: which fields, which conditions, which order, what scope. Each statement names
the tenant of every table that it reads, and row-level security stands behind that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa

from core.contracts import ResourceType, Scope
from core.data.columns import SoftDeleted, Versioned
from core.data.models import TenantModel, db, utcnow
from core.data.reads import Read
from core.data.tenancy import current_tenant
from core.trust import scopes
from core.web.pages import planned
from core.web.resource import sql_statements as statements
from core.web.resource.conditions import Condition
from core.web.resource.shapes import Many, One
from core.web.resource.store import Deleted, Sort, Wanted

KEPT = 500
"""Statements that a store keeps; then it begins anew."""


class SqlStore:
    """Answers ``store.Store`` for a mapped class. ``search``: a tsvector column, and its text search configuration."""

    def __init__(
        self, declared: ResourceType, include: Mapping[str, Many | One], search: tuple[str, str] | None
    ) -> None:
        self.declared = declared
        self.model = declared.model
        self.soft = issubclass(self.model, SoftDeleted)
        self.versioned = issubclass(self.model, Versioned)
        self._include = include
        self._search = search
        self._kept: dict[Any, Read] = {}

    # -- at boot --

    def faults(self, fields: Iterable[str], sorts: Iterable[Sort], search: str | None) -> list[str]:
        columns = sa.inspect(self.model).columns
        name = self.model.__name__
        found = [
            f"{name} has no column {field!r}; add it, or say how it is Computed"
            for field in fields
            if field not in columns
        ]
        if search is not None and search not in columns:
            found.append(f"{name} has no column {search!r} to search in; add a generated tsvector with a GIN index")
        for sort in sorts:
            if sort.field not in columns:
                found.append(f"{name} has no column {sort.field!r} to sort by")
            elif columns[sort.field].nullable:
                found.append(f"{name}.{sort.field} may be null: a cursor cannot stand on it; sort by another")
            elif not self._indexed(sort.field):
                told = ", ".join(repr(each) for each in self._index(sort.field))
                found.append(f"sorting {name} by {sort.field} needs an index; add sa.Index(None, {told})")
        return found

    def _index(self, field: str) -> list[str]:
        begin = ["tenant_id"] if issubclass(self.model, TenantModel) else []
        return [*begin, field, *([] if field == "id" else ["id"])]

    def _indexed(self, field: str) -> bool:
        wanted = self._index(field)
        table = self.model.__table__
        keys = [list(index.columns.keys()) for index in table.indexes]
        keys += [list(each.columns.keys()) for each in table.constraints if isinstance(each, sa.UniqueConstraint)]
        return any(key[: len(wanted)] == wanted for key in keys)

    def nullable(self) -> frozenset[str]:
        return frozenset(name for name, column in sa.inspect(self.model).columns.items() if column.nullable)

    def kind_of(self, field: str) -> Any:
        return sa.inspect(self.model).columns[field].type.python_type

    # -- reading --

    def rows(self, wanted: Wanted) -> Sequence[Sequence[Any]]:
        return self._asked(wanted, "page", limit=wanted.limit)

    def count(self, wanted: Wanted, how: Literal["exact", "planned"]) -> int:
        wanted = wanted._replace(fields=("id",), after=None)
        if how == "exact":
            return int(self._asked(wanted, "count")[0][0])
        given = statements.values(self.declared, self._include, wanted)
        return planned(self._read(wanted, "page").statement.order_by(None), self._given(given | {"limit": None}))

    def one(
        self, id: UUID, fields: tuple[str, ...], scope: Scope, deleted: Deleted = "exclude"
    ) -> Sequence[Any] | None:
        wanted = Wanted(fields, Sort("id", False), 1, scope=scope, deleted=deleted)
        return next(iter(self._asked(wanted, "one", id=id)), None)

    def beside(
        self, name: str, keys: Sequence[Any], scope: Scope, conditions: tuple[Condition, ...]
    ) -> Mapping[Any, list[Sequence[Any]]]:
        told = self._include[name]
        read = self._keep(
            statements.beside_shape(name, scope, conditions), lambda: statements.beside(told, scope, conditions)
        )
        found: dict[Any, list[Sequence[Any]]] = {}
        given = statements.beside_values(told, scope, conditions) | {"keys": list(keys)}
        for row in read(self._given(given)):
            found.setdefault(row[0], []).append(row[1:])
        return found

    def _asked(self, wanted: Wanted, how: str, **more: Any) -> Sequence[Sequence[Any]]:
        given = statements.values(self.declared, self._include, wanted)
        return self._read(wanted, how)(self._given(given | more))

    def _read(self, wanted: Wanted, how: str) -> Read:
        def build() -> Any:
            return statements.build(self.declared, self._include, self._search, wanted, how)

        return self._keep(statements.shape(wanted, how), build)

    def _keep(self, shape: Any, build: Callable[[], Any]) -> Read:
        found = self._kept.get(shape)
        if found is None:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            found = self._kept[shape] = Read(build())
        return found

    def _given(self, given: dict[str, Any]) -> dict[str, Any]:
        return {**given, "tenant": current_tenant().id}

    # -- changing --

    def locked(self, id: UUID, scope: Scope, deleted: Deleted) -> Any | None:
        found = sa.select(self.model).where(self.model.id == id, scopes.where(scope, self.declared))
        if self.soft and deleted != "include":
            found = found.where(
                self.model.deleted_at.is_(None) if deleted == "exclude" else self.model.deleted_at.is_not(None)
            )
        return db.session.scalar(found.with_for_update(of=self.model).execution_options(populate_existing=True))

    def added(self, values: Mapping[str, Any]) -> Any:
        entity = self.model(**values)
        db.session.add(entity)
        db.session.flush()
        return entity

    def added_many(self, values: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        entities = [self.model(**each) for each in values]
        db.session.add_all(entities)
        db.session.flush()
        return entities

    def changed(self, entity: Any, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if getattr(entity, name) != value:
                setattr(entity, name, value)
        db.session.flush()

    def removed(self, entity: Any) -> None:
        if self.soft:
            entity.deleted_at = utcnow()
        else:
            db.session.delete(entity)
        db.session.flush()

    def is_deleted(self, entity: Any) -> bool:
        return entity.deleted_at is not None

    def restored(self, entity: Any) -> None:
        entity.deleted_at = None
        db.session.flush()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        with db.session.begin_nested():
            yield
