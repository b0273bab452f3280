"""Exporting a list of any length: ``GET …/export``, with the filters of the list.

Rows are read a thousand at a time, each time in a short unit that has ended before they are sent: no transaction and no
connection waits for a slow client. Rows that are written meanwhile may or may not be there; none is lost or repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from flask import Response, request, stream_with_context

from core.data.repeating import repeating
from core.data.tenancy import acting_in, current_tenant
from core.data.unit import in_steps, unit
from core.trust import audit
from core.trust.identity import acting_as, current_principal
from core.web.openapi import produces
from core.web.resource import row_formats
from core.web.resource.conditions import query_type
from core.web.resource.reading import Views, list_parameters, typed, wanted_of

if TYPE_CHECKING:
    from core.web.resource.declaration import Resource

AT_ONCE = 1000
MEDIA = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


def export_view(resource: Resource) -> None:
    more = {name: told for name, told in list_parameters(resource).items() if name != "include"}
    more["format"] = (Literal["csv", "ndjson"], "csv", "CSV, or a JSON object on each line.")
    query_kind: Any = query_type(f"{resource.plural.title()}Export", resource.parameters, more, False)

    def view(query: Any) -> Response:
        with unit():
            plugin = (request.blueprint or "core").partition(".")[0]
            told = {"query": request.query_string.decode("ascii", "replace")[:500]}
            audit.record(f"{plugin}.{resource.plural}_exported", kind=resource.kind, after=told)
        tenant, who = current_tenant(), current_principal()
        pieces = _pieces(resource, query)
        first = next(pieces, b"")

        def stream() -> Iterator[bytes]:
            yield first
            while True:
                # Each step by itself: whoever reads the reply runs between them.
                with acting_in(tenant), acting_as(who):
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece

        reply = Response(stream_with_context(stream()), content_type=MEDIA[query.format])
        reply.headers["Content-Disposition"] = f'attachment; filename="{resource.plural}.{query.format}"'
        reply.headers["Cache-Control"] = "private, no-store"
        return reply

    doc = f"All {resource.plural.replace('_', ' ')} that a list with these filters would tell, as a file."
    typed(view, f"export_{resource.plural}", doc, query=query_kind, reply=Response)
    marked = produces("text/csv", "application/x-ndjson")(in_steps(view))
    resource.routes.get(f"{resource.path}/export")(resource.guarded("export", marked))


def _pieces(resource: Resource, query: Any) -> Iterator[bytes]:
    wanted, build, _ = wanted_of(resource, query)
    chosen = tuple(query.fields) if query.fields else None
    names = [name for name in resource.shape.names if chosen is None or name in (*chosen, "id")]
    width = len(wanted.fields)
    columns = tuple(dict.fromkeys((*wanted.fields, wanted.sort.field, "id")))
    wanted = wanted._replace(fields=columns, limit=AT_ONCE)
    begin = row_formats.header(names) if query.format == "csv" else b""
    while True:
        asked = wanted

        def read(asked: Any = asked) -> Any:
            with unit():
                return resource.store.rows(asked)

        rows = repeating(read, changes=False)
        yield begin + row_formats.written(query.format, (build(row[:width]) for row in rows))
        if len(rows) < AT_ONCE:
            return
        begin = b""
        last = rows[-1]
        wanted = wanted._replace(after=(last[columns.index(wanted.sort.field)], last[columns.index("id")]))


VIEWS: Views = {"export": export_view}
