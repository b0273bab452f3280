"""The views that read: a page of a list, one row, what has happened to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from core.contracts import ALL, NONE, Authorizer, ResourceType, Scope, service
from core.errors import FORBIDDEN, NOT_FOUND, Refused
from core.trust.history import Change, changes_of
from core.trust.identity import current_principal
from core.web.pages import PageQuery, open_place, seal_place
from core.web.queries import COMMA
from core.web.replies import Page, Reply, etag_of
from core.web.resource.conditions import Condition, asked, query_type
from core.web.resource.shapes import Many, One
from core.web.resource.store import Deleted, Sort, Wanted

if TYPE_CHECKING:
    from core.web.resource.declaration import Resource

Views = dict[str, Callable[["Resource"], None]]
NO_MORE: tuple[Condition, ...] = ()


def typed(view: Callable[..., Any], name: str, doc: str, /, **annotations: Any) -> Callable[..., Any]:
    """The view under the name and with the contract that one would have written by hand."""
    view.__name__ = view.__qualname__ = name
    view.__doc__ = doc
    view.__annotations__ = {**annotations, "return": annotations.pop("reply")}
    del view.__annotations__["reply"]
    return view


# -- lists ------------------------------------------------------------------------------------------------------


def list_view(resource: Resource) -> None:
    query_kind = query_type(f"{resource.plural.title()}Query", resource.parameters, list_parameters(resource), True)

    def view(query: Any) -> Any:
        return page(resource, query)

    kind: Any = resource.shape.item
    doc = f"The {resource.plural.replace('_', ' ')} that one may see, page by page."
    typed(view, f"list_{resource.plural}", doc, query=query_kind, reply=Page[kind])
    resource.routes.get(resource.path)(resource.guarded("list", view))


def page(resource: Resource, query: Any) -> Page[Any]:
    """One page of the list that a query string asks for."""
    wanted, build, conditions = wanted_of(resource, query)
    bound_to = _fingerprint(resource, query)
    if query.cursor is not None:
        kinds = [resource.store.kind_of(wanted.sort.field), UUID]
        value, id = open_place(query.cursor, bound_to, kinds)
        wanted = wanted._replace(after=(value, id))
    columns = tuple(dict.fromkeys((*wanted.fields, wanted.sort.field, "id", *_keys(resource, query))))
    rows = resource.store.rows(wanted._replace(fields=columns, limit=query.limit + 1))
    shown = rows[: query.limit]
    made: Page[Any] = Page([build(row[: len(wanted.fields)]) for row in shown])
    if len(rows) > query.limit:
        last = shown[-1]
        made.next = seal_place(bound_to, [last[columns.index(wanted.sort.field)], last[columns.index("id")]])
    include(resource, query, columns, shown, made.items, conditions)
    if query.count:
        made.count = resource.store.count(wanted, query.count)
    return made


def wanted_of(resource: Resource, query: Any) -> tuple[Wanted, Callable[[Any], Any], dict[str, tuple[Condition, ...]]]:
    """What a list's query string asks of the store, and how its rows become items."""
    fields, build = resource.shape.of(tuple(query.fields) if query.fields else None)
    told = asked(query, resource.parameters)
    deleted: Deleted = getattr(query, "deleted", None) or "exclude"
    wanted = Wanted(
        fields,
        Sort.of(query.sort) if query.sort else resource.sorts[0],
        0,
        told,
        scope=resource.scope("list" if deleted == "exclude" else "restore"),
        scopes={name: related_scope(resource.include[name]) for name, _ in told.related},
        search=getattr(query, "search", None),
        deleted=deleted,
    )
    return wanted, build, dict(told.related)


def list_parameters(resource: Resource) -> dict[str, tuple[Any, Any, str]]:
    names = tuple(f"{way}{sort.field}" for sort in resource.sorts for way in ("", "-"))
    default = f"{'-' if resource.sorts[0].descending else ''}{resource.sorts[0].field}"
    found: dict[str, tuple[Any, Any, str]] = {
        "sort": (
            Literal[names] | None,
            None,
            f"What the list is sorted by, backwards with a -; {default} unless told.",
        ),
        **item_parameters(resource),
    }
    if resource.search is not None:
        text = Annotated[str, Meta(min_length=1, max_length=200)]
        found["search"] = (text | None, None, 'Words to be found, as in a web search: "a phrase", or, -not.')
    if resource.store.soft:
        kind: Any = Literal["exclude", "include", "only"] | None
        found["deleted"] = (kind, None, "Whether deleted ones are there too; for those who may restore them.")
    return found


def item_parameters(resource: Resource) -> dict[str, tuple[Any, Any, str]]:
    """The parameters that say what one item looks like."""
    found = {"fields": (_choice(resource.shape.names), None, "These fields alone; the id comes always.")}
    if resource.include:
        found["include"] = (_choice(tuple(resource.include)), None, "What else to put beside each.")
    return found


def _choice(names: tuple[str, ...]) -> Any:
    listed: Any = list[Literal[names]]  # type: ignore[valid-type]
    return Annotated[listed, Meta(max_length=50, extra=COMMA, extra_json_schema=dict(COMMA))] | None


def _fingerprint(resource: Resource, query: Any) -> str:
    """What a cursor is bound to: the resource, its filters, search and order; not how much of each row is shown."""
    passing = {*PageQuery.__struct_fields__, "count", "fields", "include"}
    asked_for = {name: getattr(query, name) for name in query.__struct_fields__ if name not in passing}
    facts = (resource.kind, resource.path, {name: value for name, value in asked_for.items() if value is not None})
    return blake2b(msgspec.json.encode(facts), digest_size=6).hexdigest()


# -- what stands beside -------------------------------------------------------------------------------------------


def _keys(resource: Resource, query: Any) -> list[str]:
    """The columns by which the includes that were asked for are found."""
    names = getattr(query, "include", None) or ()
    return [told.by for name in names if isinstance(told := resource.include[name], One)]


def include(
    resource: Resource,
    query: Any,
    columns: tuple[str, ...],
    rows: Sequence[Sequence[Any]],
    items: list[Any],
    conditions: dict[str, tuple[Condition, ...]],
) -> None:
    """Put what was asked for beside each item: one question for each include, however many rows there are."""
    for name in dict.fromkeys(getattr(query, "include", None) or ()):
        told = resource.include[name]
        index = columns.index(told.by if isinstance(told, One) else "id")
        keys = list({row[index]: None for row in rows if row[index] is not None})
        scope = related_scope(told)
        found = (
            resource.store.beside(name, keys, scope, conditions.get(name, NO_MORE)) if keys and scope != NONE else {}
        )
        for row, item in zip(rows, items, strict=True):
            beside = [told.out(*each) for each in found.get(row[index], ())]
            if isinstance(told, One):
                setattr(item, name, beside[0] if beside else None)
                continue
            setattr(item, name, beside[: told.limit])
            if len(beside) > told.limit:
                setattr(item, f"{name}_more", True)


def related_scope(told: Many | One) -> Scope:
    """The rows of a relation that the caller may see; of a bare model, all that belong to the parent."""
    if not isinstance(told.of, ResourceType):
        return ALL
    return service(Authorizer).scope(current_principal(), f"{told.of.word}:read", told.of.kind)


# -- one --------------------------------------------------------------------------------------------------------


def get_view(resource: Resource) -> None:
    query_kind: Any = query_type(f"{resource.kind.title()}Query", [], item_parameters(resource), False)

    def view(id: UUID, query: Any) -> Any:
        fields, build = resource.shape.of(tuple(query.fields) if query.fields else None)
        version = ("version",) if resource.store.versioned else ()
        columns = tuple(dict.fromkeys((*fields, "id", *_keys(resource, query), *version)))
        row = resource.store.one(id, columns, scope := resource.scope("get"))
        if row is None:
            raise missing(scope, resource)
        item = build(row[: len(fields)])
        include(resource, query, columns, [row], [item], {})
        # What stands beside a row changes without it: then its version says nothing.
        plain = resource.store.versioned and not getattr(query, "include", None)
        return Reply(item, etag=etag_of(row[columns.index("version")]) if plain else None)

    kind: Any = resource.shape.item
    typed(view, f"get_{resource.kind}", f"One {resource.kind}.", id=UUID, query=query_kind, reply=Reply[kind])
    resource.routes.get(f"{resource.path}/<uuid:id>")(resource.guarded("get", view))


def missing(scope: Scope, resource: Resource) -> Refused:
    """Why there is nothing here: to those who may see all of them, that it does not exist; to others, no more."""
    return Refused(NOT_FOUND) if scope == ALL else Refused(FORBIDDEN, f"this is no {resource.kind} of yours")


# -- history ----------------------------------------------------------------------------------------------------


def history_view(resource: Resource) -> None:
    def view(id: UUID, query: PageQuery) -> Any:
        scope = resource.scope("history")
        if scope != ALL and resource.store.one(id, ("id",), scope, "include") is None:
            raise missing(scope, resource)
        bound_to = f"history:{resource.kind}:{id}"
        before = open_place(query.cursor, bound_to, [UUID])[0] if query.cursor else None
        found = changes_of(resource.kind, id, query.limit + 1, before)
        if not found and query.cursor is None:
            raise missing(scope, resource)
        more = len(found) > query.limit
        return Page(found[: query.limit], seal_place(bound_to, [found[query.limit - 1].id]) if more else None)

    doc = f"What was done to a {resource.kind}, by whom, and what it was before and after; the latest first."
    typed(view, f"{resource.kind}_history", doc, id=UUID, query=PageQuery, reply=Page[Change])
    resource.routes.get(f"{resource.path}/<uuid:id>/history")(resource.guarded("history", view))


VIEWS: Views = {"list": list_view, "get": get_view, "history": history_view}
