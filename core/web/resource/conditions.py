"""The query string of a list: which fields may be asked about, how, and what was asked.

``status=active``, ``total[gt]=10000``, ``created_at[lte]=2026-01-31`` (a date means its whole day, in UTC),
``tags[in]=a,b``, ``note[null]=true``; ``orders.total[gt]=10000`` asks that there be such an order. Several conditions
on one relation must hold of the same row.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta

from core.errors import BootError, FieldFault
from core.web.bodies import Body, struct
from core.web.pages import CountedQuery
from core.web.queries import COMMA
from core.web.resource.shapes import Many
from core.web.validation import refusal_of

MOST_VALUES = 100
_DATE_OR_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2}))?$"
Moment = Annotated[
    str,
    Meta(pattern=_DATE_OR_TIME, max_length=40, examples=["2026-01-31", "2026-01-31T09:30:00Z"]),
]
ORDERED = ("gt", "gte", "lt", "lte")


class Condition(NamedTuple):
    """One thing that is asked of a row. ``op``: eq, ne, in, gt, gte, lt, lte, null, present; of a list: has, any."""

    field: str
    op: str
    value: Any


class Asked(NamedTuple):
    """Everything that a query string asks of the rows: of themselves, and of those that refer to them."""

    own: tuple[Condition, ...]
    related: tuple[tuple[str, tuple[Condition, ...]], ...]


class Parameter(NamedTuple):
    """One parameter of the query string, and the condition that it stands for."""

    relation: str
    field: str
    op: str
    kind: Any

    @property
    def told(self) -> str:
        """What clients write."""
        name = f"{self.relation}.{self.field}" if self.relation else self.field
        return name if self.op in ("eq", "has") else f"{name}[{'in' if self.op == 'any' else self.op}]"

    @property
    def attribute(self) -> str:
        return f"{self.relation or 'own'}__{self.field}__{self.op}"


def parameters(
    out: type[msgspec.Struct], fields: tuple[str, ...], nullable: frozenset[str], relation: str = ""
) -> Iterator[Parameter]:
    """The parameters that these fields of an output give rise to, by their types."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(out)}
    for name in fields:
        if name not in kinds:
            raise BootError(
                f"filters names {name!r}, which {out.__name__} does not show; add it there, or leave it out"
            )
        kind = _bare(kinds[name])
        yield from _of_kind(relation, name, kind)
        if name in nullable:
            yield Parameter(relation, name, "null", bool)


def _of_kind(relation: str, name: str, kind: Any) -> Iterator[Parameter]:
    plain = typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    if typing.get_origin(plain) in (list, tuple, set, frozenset):
        item = typing.get_args(plain)[0]
        yield Parameter(relation, name, "has", item)
        yield Parameter(relation, name, "any", _listed(item))
    elif isinstance(plain, type) and issubclass(plain, datetime | date):
        yield from (Parameter(relation, name, op, Moment) for op in ORDERED)
    elif plain is bool:
        yield Parameter(relation, name, "eq", bool)
    elif isinstance(plain, type) and issubclass(plain, int | float) and not issubclass(plain, bool):
        yield Parameter(relation, name, "eq", plain)
        yield Parameter(relation, name, "in", _listed(plain))
        yield from (Parameter(relation, name, op, plain) for op in ORDERED)
    elif plain in (str, UUID) or typing.get_origin(plain) is Literal:
        kind = plain if plain is not str else Annotated[str, Meta(max_length=1000)]
        yield Parameter(relation, name, "eq", kind)
        yield Parameter(relation, name, "ne", kind)
        yield Parameter(relation, name, "in", _listed(kind))
    else:
        raise BootError(f"filters names {name!r}, whose type {kind!r} nothing can be asked about; leave it out")


def _listed(item: Any) -> Any:
    return Annotated[list[item], Meta(min_length=1, max_length=MOST_VALUES, extra_json_schema=dict(COMMA), extra=COMMA)]


def _bare(kind: Any) -> Any:
    """A type without ``None``: a query string cannot say it."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        parts = [part for part in typing.get_args(kind) if part is not types.NoneType]
        return parts[0] if len(parts) == 1 else kind
    return kind


def query_type(name: str, found: list[Parameter], more: dict[str, tuple[Any, Any, str]], paged: bool) -> type[Body]:
    """The Struct that parses such a query string. ``more``: attribute -> (type, default, description)."""
    annotations: dict[str, Any] = {}
    namespace: dict[str, Any] = {"__module__": __name__, "__annotations__": annotations}
    for each in found:
        annotations[each.attribute] = each.kind | None
        namespace[each.attribute] = msgspec.field(default=None, name=each.told)
    for attribute, (kind, default, told) in more.items():
        annotations[attribute] = Annotated[kind, Meta(description=told)]
        namespace[attribute] = default
    return struct(name, CountedQuery if paged else Body, namespace)


def asked(query: Any, found: list[Parameter]) -> Asked:
    """What a parsed query string asks. ``Refused(VALIDATION_FAILED)`` for a day that no calendar has."""
    own: list[Condition] = []
    related: dict[str, list[Condition]] = {}
    for each in found:
        value = getattr(query, each.attribute)
        if value is None:
            continue
        op = each.op
        if each.kind is Moment:
            op, value = _moment(each, value)
        if op == "null":
            op = "null" if value else "present"
        (related.setdefault(each.relation, []) if each.relation else own).append(Condition(each.field, op, value))
    return Asked(tuple(own), tuple((name, tuple(conditions)) for name, conditions in related.items()))


def _moment(each: Parameter, text: str) -> tuple[str, datetime]:
    """An instant; of a bare date its beginning or its end, so that ``lte`` takes in the whole day."""
    try:
        if len(text) > 10:
            return each.op, msgspec.convert(text, datetime).astimezone(UTC)
        begin = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        if each.op in ("gt", "lte"):
            if begin.date() == date.max:
                return each.op, datetime.max.replace(tzinfo=UTC)
            return ("gte" if each.op == "gt" else "lt"), begin + timedelta(days=1)
        return each.op, begin
    except (ValueError, OverflowError, msgspec.ValidationError):
        fault = FieldFault(each.told, "BAD_FORMAT", "expected a date, or a time as in RFC 3339")
        raise refusal_of(fault) from None


def relations(include: dict[str, Any]) -> Iterator[tuple[str, Many]]:
    """The includes that lists may be filtered by."""
    for name, told in include.items():
        if isinstance(told, Many) and told.filters:
            yield name, told
