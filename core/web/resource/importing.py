"""Importing a file of any length: ``PUT …/imports/<id>`` with CSV or newline-delimited JSON.

Who imports chooses the id. Rows are taken in batches, each with its count in one transaction: a request that was cut
off is sent again, whole or from ``next_row`` on, and what was done is passed over. A row that is not acceptable is told
in the report and keeps no other from being taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
from flask import request
from msgspec import Meta
from werkzeug.http import parse_options_header

from core.data.faults import as_refusal
from core.data.repeating import repeating
from core.data.unit import in_steps, unit
from core.errors import CONFLICT, MALFORMED_BODY, UNSUPPORTED_MEDIA_TYPE, VALIDATION_FAILED, Refused
from core.trust.permissions import marks_of
from core.web import import_records
from core.web.bodies import Body
from core.web.import_records import Import, RowFault
from core.web.openapi import refuses
from core.web.pages import PageQuery
from core.web.replies import Page
from core.web.resource.changing import Changes
from core.web.resource.reading import Views, typed
from core.web.resource.row_formats import MEDIA, Format, Raw, lines, parsed, rows

if TYPE_CHECKING:
    from core.web.resource.declaration import Resource

BATCH = 500
SHOWN = 100


class ImportQuery(Body):
    """``from_row`` numbers the first row of this body; ``dry_run`` checks all of it and keeps nothing."""

    from_row: Annotated[int, Meta(ge=0)] = 0
    dry_run: bool = False


class Progress(msgspec.Struct, frozen=True):
    """How an import stands. ``faults`` are the first of those in this request; ``…/faults`` has all of them."""

    id: UUID
    next_row: Annotated[int, Meta(examples=[500])]
    created: Annotated[int, Meta(examples=[499])]
    failed: int
    faults: list[RowFault] = []


class _Undo(Exception):
    """Ends a unit of which nothing shall stay."""


class Importing:
    """One request's part of one import."""

    def __init__(self, resource: Resource, id: UUID, query: ImportQuery) -> None:
        self.resource = resource
        self.changes = Changes(resource)
        self.id = id
        self.query = query
        self.name = _name(resource)
        self.faults: list[RowFault] = []
        self.tried = self.refused = 0

    def run(self, found: Iterator[Raw]) -> Progress:
        """Take the rows, batch by batch, each in a unit of its own."""
        progress = Progress(self.id, 0, 0, 0)
        if not self.query.dry_run:
            with unit():
                progress = self._told(import_records.locked(self.id, self.name))
        if self.query.from_row > progress.next_row and not self.query.dry_run:
            raise Refused(CONFLICT, f"row {progress.next_row} comes next: send from there")
        at = self.query.from_row
        while batch := list(islice(found, BATCH)):
            progress, faults = repeating(lambda batch=batch, at=at: self._take(batch, at))  # type: ignore[misc]
            self.faults += faults[: SHOWN - len(self.faults)]
            at += len(batch)
        if self.query.dry_run:
            return Progress(self.id, 0, self.tried - self.refused, self.refused, self.faults)
        return msgspec.structs.replace(progress, faults=self.faults)

    def _take(self, batch: list[Raw], at: int) -> tuple[Progress, list[RowFault]]:
        tried, refused = self.tried, self.refused
        try:
            with unit():
                record = import_records.locked(self.id, self.name)
                wanted = self._not_yet_done(record, batch, at)
                first = at + len(batch) - len(wanted)
                faults = self._rows(wanted, first)
                last = _digest(wanted[-1]) if wanted else None
                import_records.advance(record, first + len(wanted), last, len(wanted) - len(faults), faults)
                progress = self._told(record)
                if self.query.dry_run:
                    raise _Undo
        except _Undo:
            self.tried, self.refused = tried + len(batch), refused + len(faults)
        return progress, faults

    def _not_yet_done(self, record: Import, batch: list[Raw], at: int) -> list[Raw]:
        """The rows of a batch that stand at ``next_row`` and after. ``Refused(CONFLICT)`` if it is another file."""
        if self.query.dry_run:
            return batch
        known = record.next_row - 1 - at
        if 0 <= known < len(batch) and record.last is not None and _digest(batch[known]) != record.last:
            raise Refused(CONFLICT, f"row {record.next_row - 1} was another before: one import is of one file")
        return batch[max(0, record.next_row - at) :]

    def _rows(self, batch: list[Raw], first: int) -> list[RowFault]:
        """Take what can be taken; the others, in order, with what is wrong."""
        faults: dict[int, RowFault] = {}
        good: list[tuple[int, Any]] = []
        for row, raw in enumerate(batch, first):
            try:
                good.append((row, parsed(raw, self.resource.create)))
            except Refused as refusal:
                faults[row] = _fault(row, refusal)
        try:
            with self.resource.store.attempt():
                self.changes.create_many([body for _, body in good])
        except Exception as exc:
            if _refusal(exc) is None:
                raise
            # One of them cannot be: find out which, each by itself.
            for row, body in good:
                try:
                    with self.resource.store.attempt():
                        self.changes.create(body)
                except Exception as exc:
                    why = _refusal(exc)
                    if why is None:
                        raise
                    faults[row] = _fault(row, why)
        return [faults[row] for row in sorted(faults)]

    def _told(self, record: Import) -> Progress:
        return Progress(self.id, record.next_row, record.created, record.failed)


def _refusal(exc: Exception) -> Refused | None:
    """What is wrong with a row; ``None`` for what is no row's fault."""
    refusal = exc if isinstance(exc, Refused) else as_refusal(exc)
    return None if refusal is None or refusal.code.status >= 500 else refusal


def _fault(row: int, refusal: Refused) -> RowFault:
    field = refusal.fields[0].field if refusal.fields else None
    return RowFault(row, refusal.code.name, field, (refusal.detail or refusal.code.title)[:500])


def _digest(raw: Raw) -> bytes:
    return blake2b(raw.told, digest_size=16).digest()


# -- the views --------------------------------------------------------------------------------------------------


def import_views(resource: Resource) -> None:
    create: Any = resource.create
    known = frozenset(field.encode_name for field in msgspec.structs.fields(create))
    ignored = frozenset(resource.shape.names) - known

    def put(import_id: UUID, query: ImportQuery) -> Progress:
        format = _format()
        found = lines(request.environ["wsgi.input"], request.content_length)
        return Importing(resource, import_id, query).run(rows(format, found, known, ignored))

    def get(import_id: UUID) -> Progress:
        record = import_records.mine(import_id, _name(resource))
        return Progress(record.id, record.next_row, record.created, record.failed)

    def faults(import_id: UUID, query: PageQuery) -> Page[RowFault]:
        record = import_records.mine(import_id, _name(resource))
        return import_records.faults_page(record, query)

    plural = resource.plural.replace("_", " ")
    rule = f"{resource.path}/imports/<uuid:import_id>"
    doc = (
        f"Import {plural} from a file of any length.\n\n"
        "Choose the id. Rows are taken in batches: when the request was cut off, send it again, or from `next_row` on."
    )
    typed(put, f"import_{resource.plural}", doc, import_id=UUID, query=ImportQuery, reply=Progress)
    marks_of(put).notes["consumes"] = tuple(MEDIA)
    marked = refuses(CONFLICT, MALFORMED_BODY, UNSUPPORTED_MEDIA_TYPE, VALIDATION_FAILED)(in_steps(put))
    resource.routes.put(rule)(resource.guarded("import", marked))
    typed(get, f"get_{resource.plural}_import", f"How an import of {plural} stands.", import_id=UUID, reply=Progress)
    resource.routes.get(rule)(resource.guarded("import", get))
    doc = f"The rows of an import of {plural} that were not taken, and why."
    typed(faults, f"{resource.plural}_import_faults", doc, import_id=UUID, query=PageQuery, reply=Page[RowFault])
    resource.routes.get(f"{rule}/faults")(resource.guarded("import", faults))


def _format() -> Format:
    kind = parse_options_header(request.environ.get("CONTENT_TYPE", ""))[0].lower()
    if kind not in MEDIA:
        raise Refused(UNSUPPORTED_MEDIA_TYPE, f"send one of {', '.join(MEDIA)}")
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise Refused(UNSUPPORTED_MEDIA_TYPE, "send the body uncompressed", headers={"Accept-Encoding": "identity"})
    if request.content_length is None and not request.environ.get("wsgi.input_terminated"):
        raise Refused(MALFORMED_BODY, "send a body with its Content-Length")
    return MEDIA[kind]


def _name(resource: Resource) -> str:
    return f"{request.blueprint}:{resource.path}"


VIEWS: Views = {"import": import_views}
