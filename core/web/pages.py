"""Keyset pages: the cursor carries the sort values of the last row seen, so a page costs the same wherever it begins.

A cursor is signed, and bound to the query's filters and order: with others, or altered, it is INVALID_CURSOR (400).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Meta
from sqlalchemy.ext.compiler import compiles

from core.data.models import db
from core.errors import INVALID_CURSOR, Refused
from core.trust import secrets
from core.web.bodies import Body
from core.web.replies import Page

R = TypeVar("R")

Direction = Literal["asc", "desc"]
Order = Sequence[tuple[Any, Direction]]


class PageQuery(Body):
    """The query string of a list; a list with filters adds them as fields of a subclass."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: str | None = None


class CountedQuery(PageQuery):
    """A list that also tells how many rows there are: ``exact`` reads them all, ``planned`` asks the planner."""

    count: Literal["exact", "planned"] | None = None


def paginate(statement: sa.Select[Any], order: Order, query: PageQuery) -> Page[Any]:
    """One page of ``statement``, sorted by ``order``: columns with their directions, the primary key last.

        page = paginate(sa.select(Book), ((Book.created_at, "desc"), (Book.id, "desc")), query)

    The columns may not be nullable, and are among the selected ones. Items are the entities of ``select(Book)``, or
    rows where columns are selected. Raises ``Refused(INVALID_CURSOR)``.
    """
    _check(order)
    bound_to = _fingerprint(order, query)
    wanted = statement.order_by(None).order_by(*(getattr(column, way)() for column, way in order))
    if query.cursor is not None:
        place = open_place(query.cursor, bound_to, [column.type.python_type for column, _ in order])
        wanted = wanted.where(_after(order, place))
    result = db.session.execute(wanted.limit(query.limit + 1))
    entity = _is_entity(statement)
    rows: list[Any] = list(result.scalars() if entity else result)
    page: Page[Any] = Page(rows[: query.limit])
    if len(rows) > query.limit:
        last = page.items[-1]
        values = [getattr(last, column.key) if entity else last._mapping[column] for column, _ in order]
        page.next = seal_place(bound_to, values)
    if isinstance(query, CountedQuery) and query.count:
        page.count = _count(statement, query.count)
    return page


def _check(order: Order) -> None:
    for column, _ in order:
        if getattr(column, "nullable", False):
            raise TypeError(f"{column} may be null: a cursor cannot stand on it; sort by a column that is never null")
    if not order or not getattr(order[-1][0], "primary_key", False):
        raise TypeError("end the order of a page with the primary key, so that no two rows stand in one place")


def _is_entity(statement: sa.Select[Any]) -> bool:
    described = statement.column_descriptions
    return len(described) == 1 and described[0]["expr"] is described[0].get("entity")


def _fingerprint(order: Order, query: PageQuery) -> str:
    """What a cursor is bound to: the query's class and filters, and the order."""
    sort = [(str(column), way) for column, way in order]
    filters = {name: getattr(query, name) for name in query.__struct_fields__ if name not in _NO_FILTER}
    facts = (type(query).__qualname__, sort, filters)
    return blake2b(msgspec.json.encode(facts), digest_size=6).hexdigest()


_NO_FILTER = frozenset(CountedQuery.__struct_fields__)


def seal_place(bound_to: str, values: Sequence[Any]) -> str:
    """The cursor of a place: the sort values of the last row seen, signed, good for the list that it is bound to."""
    return secrets.sign("cursor", msgspec.json.encode((bound_to, values)))


def open_place(cursor: str, bound_to: str, kinds: Sequence[Any]) -> list[Any]:
    """The sort values that a cursor carries, each of its kind. ``Refused(INVALID_CURSOR)`` if it is of another list."""
    try:
        given, values = msgspec.json.decode(secrets.verify("cursor", cursor), type=tuple[str, list[Any]])
        if given != bound_to or len(values) != len(kinds):
            raise ValueError("made for another list")
        return [msgspec.convert(value, kind) for value, kind in zip(values, kinds, strict=True)]
    except (secrets.BadSignature, msgspec.MsgspecError, ValueError):
        raise Refused(INVALID_CURSOR, "take the cursor from the last page, with the same filters and order") from None


def _after(order: Order, values: list[Any]) -> sa.ColumnElement[bool]:
    """Rows after this place. One row comparison, which an index answers, where all columns go the same way."""
    places = [sa.literal(value, column.type) for value, (column, _) in zip(values, order, strict=True)]
    ways = {way for _, way in order}
    if len(ways) == 1:
        columns, place = sa.tuple_(*(column for column, _ in order)), sa.tuple_(*places)
        return columns > place if ways == {"asc"} else columns < place
    steps = []
    for index, (column, way) in enumerate(order):
        same = [earlier == place for (earlier, _), place in zip(order[:index], places, strict=False)]
        steps.append(sa.and_(*same, column > places[index] if way == "asc" else column < places[index]))
    return sa.or_(*steps)


# -- counting ---------------------------------------------------------------------------------------------------


def _count(statement: sa.Select[Any], how: Literal["exact", "planned"]) -> int:
    bare = statement.order_by(None)
    if how == "exact":
        return db.session.scalar(sa.select(sa.func.count()).select_from(bare.subquery())) or 0
    return planned(bare)


def planned(statement: sa.Select[Any], parameters: dict[str, Any] | None = None) -> int:
    """How many rows PostgreSQL's planner expects of a select."""
    plan: Any = db.session.scalar(_Explain(statement), parameters)
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return int(plan[0]["Plan"]["Plan Rows"])


class _Explain(sa.Executable, sa.ClauseElement):
    """PostgreSQL's ``explain`` of a select, as a statement that a session executes."""

    inherit_cache = False

    def __init__(self, statement: sa.Select[Any]) -> None:
        self.statement = statement


@compiles(_Explain)
def _explain(element: _Explain, compiler: Any, **kw: Any) -> str:
    return f"explain (format json) {compiler.process(element.statement, **kw)}"
