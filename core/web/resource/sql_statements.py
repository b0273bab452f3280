"""The statements behind a resource in PostgreSQL, each built for one shape of question and run with its values.

Nothing that a client sends becomes part of a statement: fields and conditions are looked up among those that were
declared, and every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import visitors

from core.contracts import ALL, ResourceType, Scope
from core.data.columns import SoftDeleted
from core.data.models import TenantModel
from core.trust import scopes
from core.web.resource.conditions import Condition
from core.web.resource.shapes import Many, One
from core.web.resource.store import Wanted

Conditions = tuple[Condition, ...]


def shape(wanted: Wanted, how: str) -> tuple[Any, ...]:
    """What two questions have in common that are answered by one statement."""
    return (
        how,
        wanted.fields,
        wanted.sort,
        _ops(wanted.asked.own),
        tuple((name, _ops(told), scopes.shape(wanted.scopes[name])) for name, told in wanted.asked.related),
        scopes.shape(wanted.scope),
        wanted.after is not None,
        wanted.search is not None,
        wanted.deleted,
    )


def beside_shape(name: str, scope: Scope, conditions: Conditions) -> tuple[Any, ...]:
    return ("beside", name, _ops(conditions), scopes.shape(scope))


def _ops(conditions: Conditions) -> tuple[tuple[str, str], ...]:
    return tuple((each.field, each.op) for each in conditions)


# -- lists ------------------------------------------------------------------------------------------------------


def build(
    declared: ResourceType, include: Mapping[str, Any], search: tuple[str, str] | None, wanted: Wanted, how: str
) -> Any:
    """``how``: "page" of rows, the "one" with ``:id``, or their "count"."""
    model = declared.model
    where = [*_fenced(model), _scope(wanted.scope, declared, "s")]
    where += [_condition(model, each, f"c{index}") for index, each in enumerate(wanted.asked.own)]
    for number, (name, conditions) in enumerate(wanted.asked.related):
        where.append(_exists(model, include[name], wanted.scopes[name], conditions, f"r{number}"))
    if issubclass(model, SoftDeleted) and wanted.deleted != "include":
        where.append(model.deleted_at.is_(None) if wanted.deleted == "exclude" else model.deleted_at.is_not(None))
    if wanted.search is not None and search is not None:
        column, config = search
        asked = sa.func.websearch_to_tsquery(
            sa.literal_column(f"'{config}'::regconfig"), sa.bindparam("search", type_=sa.Text())
        )
        where.append(getattr(model, column).op("@@")(asked))
    if how == "count":
        return sa.select(sa.func.count()).select_from(model).where(*where)
    statement = sa.select(*(getattr(model, name) for name in wanted.fields))
    if how == "one":
        return statement.where(model.id == sa.bindparam("id"), *where)
    keys = [getattr(model, wanted.sort.field), *([] if wanted.sort.field == "id" else [model.id])]
    if wanted.after is not None:
        places = [
            sa.bindparam(name, type_=key.type) for name, key in zip(("after_value", "after_id"), keys, strict=False)
        ]
        row, place = sa.tuple_(*keys), sa.tuple_(*places)
        where.append(row < place if wanted.sort.descending else row > place)
    order = [key.desc() if wanted.sort.descending else key.asc() for key in keys]
    return statement.where(*where).order_by(*order).limit(sa.bindparam("limit", type_=sa.Integer()))


def values(declared: ResourceType, include: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """The parameters that conditions, scopes, search and place of a question come to."""
    found = _scope_values(wanted.scope, declared, "s") | _condition_values(wanted.asked.own, "c")
    for number, (name, conditions) in enumerate(wanted.asked.related):
        found |= _condition_values(conditions, f"r{number}c")
        found |= _scope_values(wanted.scopes[name], _type_of(include[name]), f"r{number}s")
    if wanted.search is not None:
        found["search"] = wanted.search
    if wanted.after is not None:
        found["after_value"], found["after_id"] = wanted.after
    return found


def _exists(model: Any, told: Many, scope: Scope, conditions: Conditions, prefix: str) -> sa.ColumnElement[bool]:
    child = told.model
    where = [*_fenced(child), getattr(child, told.by) == model.id, _scope(scope, _type_of(told), f"{prefix}s")]
    where += [_condition(child, each, f"{prefix}c{index}") for index, each in enumerate(conditions)]
    return sa.exists(sa.select(sa.literal(1)).select_from(child).where(*where, *_live(child)).correlate(model))


# -- what stands beside a row -----------------------------------------------------------------------------------


def beside(told: Many | One, scope: Scope, conditions: Conditions) -> Any:
    """Rows with what they are found by before their fields, for ``:keys``; of each key a bounded number."""
    model = told.model
    fields = [getattr(model, name) for name in told.out.__struct_fields__]
    where = [*_fenced(model), *_live(model), _scope(scope, _type_of(told), "s")]
    where += [_condition(model, each, f"c{index}") for index, each in enumerate(conditions)]
    if isinstance(told, One):
        found = sa.bindparam("keys", type_=ARRAY(model.id.type))
        return sa.select(model.id, *fields).where(*where, model.id == sa.any_(found))
    sort = getattr(model, told.sort.removeprefix("-"))
    order = [key.desc() if told.sort.startswith("-") else key.asc() for key in (sort, model.id)]
    keys = (
        sa.func.unnest(sa.bindparam("keys", type_=ARRAY(sa.Uuid())))
        .table_valued(sa.column("key", sa.Uuid()), name="parents")
        .render_derived()
    )
    each = (
        sa.select(*fields)
        .where(*where, getattr(model, told.by) == keys.c.key)
        .order_by(*order)
        .limit(told.limit + 1)
        .lateral("each")
    )
    return sa.select(keys.c.key, *each.c).select_from(keys.join(each, sa.true()))


def beside_values(told: Many | One, scope: Scope, conditions: Conditions) -> dict[str, Any]:
    return _scope_values(scope, _type_of(told), "s") | _condition_values(conditions, "c")


# -- parts ------------------------------------------------------------------------------------------------------


def _fenced(model: Any) -> list[sa.ColumnElement[bool]]:
    return [model.tenant_id == sa.bindparam("tenant", type_=sa.Uuid())] if issubclass(model, TenantModel) else []


def _live(model: Any) -> list[sa.ColumnElement[bool]]:
    return [model.deleted_at.is_(None)] if issubclass(model, SoftDeleted) else []


def _type_of(told: Many | One) -> ResourceType:
    return told.of if isinstance(told.of, ResourceType) else ResourceType("", "", told.of)


def _condition(model: Any, asked: Condition, name: str) -> sa.ColumnElement[bool]:
    column = getattr(model, asked.field)
    value = sa.bindparam(name, type_=column.type)
    found: dict[str, Any] = {
        "eq": lambda: column == value,
        "ne": lambda: column.is_distinct_from(value),
        "gt": lambda: column > value,
        "gte": lambda: column >= value,
        "lt": lambda: column < value,
        "lte": lambda: column <= value,
        "in": lambda: column == sa.any_(sa.bindparam(name, type_=ARRAY(column.type))),
        "has": lambda: column.contains(value),
        "any": lambda: column.overlap(value),
        "null": lambda: column.is_(None),
        "present": lambda: column.is_not(None),
    }
    return found[asked.op]()


def _condition_values(conditions: Conditions, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}{index}": [each.value] if each.op == "has" else each.value
        for index, each in enumerate(conditions)
        if each.op not in ("null", "present")
    }


def _scope(scope: Scope, declared: ResourceType, prefix: str) -> sa.ColumnElement[bool]:
    """The condition of a scope, its ids as parameters that are numbered in the order in which they are met."""
    condition = scopes.where(scope, declared)
    named = {id(bind): f"{prefix}{number}" for number, bind in enumerate(_binds(condition))}

    def renamed(element: Any, **_: Any) -> Any:
        return sa.bindparam(named[id(element)], type_=element.type) if id(element) in named else None

    return visitors.replacement_traverse(condition, {}, renamed) if named else condition


def _scope_values(scope: Scope, declared: ResourceType, prefix: str) -> dict[str, Any]:
    if scope is ALL:
        return {}
    binds = _binds(scopes.where(scope, declared))
    return {f"{prefix}{number}": bind.value for number, bind in enumerate(binds)}


def _binds(condition: Any) -> list[Any]:
    return [element for element in visitors.iterate(condition) if isinstance(element, sa.BindParameter)]
