"""A ``Scope`` as a SQL condition, as a Mongo filter, and as a plain question about one row.

The three must agree row for row, a missing owner included: ``Not(IsOwner(x))`` holds where there is no owner at all.
Negations are therefore carried down to the leaves, where each store can say them with its nulls in mind.
Inheritance: ``OneOf`` on a parent passes over rows whose ``stops`` column is true.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from core.contracts import All, And, IsOwner, Not, Nothing, OneOf, Or, ResourceType, Scope

OWN_ID = "id"


def where(scope: Scope, resource_type: ResourceType) -> sa.ColumnElement[bool]:
    """The condition for ``select(model).where(...)``. ``LookupError`` if the type lacks what the scope speaks of."""
    return _sql(scope, resource_type, True)


def shape(scope: Scope) -> Any:
    """What a scope's condition looks like without its ids: hashable, and equal where the statement is the same."""
    match scope:
        case Not(part):
            return ("not", shape(part))
        case And(parts) | Or(parts):
            return (type(scope).__name__, *map(shape, parts))
        case OneOf(parent, ids):
            return ("one of", parent, min(len(ids), 2))
    return type(scope).__name__


def mongo(scope: Scope, resource_type: ResourceType) -> dict[str, Any]:
    """The filter for ``Model.objects(__raw__=...)``. ``LookupError`` as above."""
    return _mongo(scope, resource_type, True)


def holds(scope: Scope, resource_type: ResourceType, row: Any) -> bool:
    """Whether one loaded row, or document, lies within the scope. ``LookupError`` as above."""
    match scope:
        case All():
            return True
        case Nothing():
            return False
        case Not(part):
            return not holds(part, resource_type, row)
        case And(parts):
            return all(holds(part, resource_type, row) for part in parts)
        case Or(parts):
            return any(holds(part, resource_type, row) for part in parts)
    name, ids = _leaf(scope, resource_type)
    within = getattr(row, name) in ids
    stops = _stops(scope, resource_type)
    return within and not (stops and getattr(row, stops))


def _leaf(scope: Scope, resource_type: ResourceType) -> tuple[str, tuple[UUID, ...]]:
    """The attribute that a leaf looks at, and the values that it wants there."""
    kind = resource_type.kind
    if isinstance(scope, IsOwner):
        if resource_type.owner is None:
            raise LookupError(f"resource kind {kind!r} has no owner; give its ResourceType one")
        return resource_type.owner, (scope.owner,)
    if isinstance(scope, OneOf):
        if scope.parent == kind:
            return OWN_ID, scope.ids
        if scope.parent not in resource_type.parents:
            raise LookupError(f"resource kind {kind!r} has no parent of kind {scope.parent!r}")
        return resource_type.parents[scope.parent], scope.ids
    raise TypeError(f"{scope!r} is no scope that can be asked of a store")


def _stops(scope: Scope, resource_type: ResourceType) -> str | None:
    inherited = isinstance(scope, OneOf) and scope.parent != resource_type.kind
    return resource_type.stops if inherited else None


# -- SQL --------------------------------------------------------------------------------------------------------


def _sql(scope: Scope, resource_type: ResourceType, wanted: bool) -> sa.ColumnElement[bool]:
    match scope:
        case All():
            return sa.true() if wanted else sa.false()
        case Nothing():
            return sa.false() if wanted else sa.true()
        case Not(part):
            return _sql(part, resource_type, not wanted)
        case And(parts) | Or(parts):
            told = [_sql(part, resource_type, wanted) for part in parts]
            # De Morgan: a negated And is an Or of negations.
            return sa.or_(sa.false(), *told) if isinstance(scope, Or) is wanted else sa.and_(sa.true(), *told)
    name, ids = _leaf(scope, resource_type)
    condition = _sql_in(getattr(resource_type.model, name), ids, wanted)
    stops = _stops(scope, resource_type)
    if stops is None:
        return condition
    stopped = getattr(resource_type.model, stops)
    return sa.and_(condition, stopped.is_not(True)) if wanted else sa.or_(condition, stopped.is_(True))


def _sql_in(column: Any, ids: tuple[UUID, ...], wanted: bool) -> sa.ColumnElement[bool]:
    """``column in ids``, or its complement with null counted as outside."""
    if not ids:
        return sa.false() if wanted else sa.true()
    if len(ids) == 1:
        equal: sa.ColumnElement[bool] = column == ids[0] if wanted else column.is_distinct_from(ids[0])
        return equal
    # One array parameter: the same statement for every number of ids, and no limit of 65,535 parameters.
    listed = sa.literal(list(ids), ARRAY(column.type))
    if wanted:
        return column == sa.any_(listed)
    return sa.or_(column.is_(None), column != sa.all_(listed))


# -- Mongo ------------------------------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {}
NOTHING: dict[str, Any] = {"_id": {"$in": []}}


def _mongo(scope: Scope, resource_type: ResourceType, wanted: bool) -> dict[str, Any]:
    match scope:
        case All():
            return dict(EVERYTHING if wanted else NOTHING)
        case Nothing():
            return dict(NOTHING if wanted else EVERYTHING)
        case Not(part):
            return _mongo(part, resource_type, not wanted)
        case And(parts) | Or(parts):
            told = [_mongo(part, resource_type, wanted) for part in parts]
            return _any_of(told) if isinstance(scope, Or) is wanted else _all_of(told)
    name, ids = _leaf(scope, resource_type)
    field, values = _stored(resource_type, name, ids)
    # $nin also finds documents in which the field is null or missing.
    condition: dict[str, Any] = {field: {"$in" if wanted else "$nin": values}}
    stops = _stops(scope, resource_type)
    if stops is None:
        return condition
    stopped = _stored(resource_type, stops, ())[0]
    return _all_of([condition, {stopped: {"$ne": True}}]) if wanted else _any_of([condition, {stopped: True}])


def _all_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if NOTHING in parts:
        return dict(NOTHING)
    told = [part for part in parts if part]
    return {"$and": told} if len(told) > 1 else told[0] if told else {}


def _any_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if EVERYTHING in parts:
        return {}
    told = [part for part in parts if part != NOTHING]
    return {"$or": told} if len(told) > 1 else told[0] if told else dict(NOTHING)


def _stored(resource_type: ResourceType, name: str, ids: tuple[UUID, ...]) -> tuple[str, list[Any]]:
    """The name that a field has in the database, and the ids as that field keeps them."""
    field = resource_type.model._fields[name]
    return field.db_field, [field.to_mongo(value) for value in ids]
