"""Parse, call a service, reply. A mark says who may call, the signature what is taken and given."""

from __future__ import annotations

from uuid import UUID

import msgspec

from core.errors import NOT_FOUND
from core.trust import requires, signed_in
from core.web import Created, Page, PageQuery, Reply, Routes, etag_of, if_match, limited, refuses
from pegboard_notes import services
from pegboard_notes.api import NOTES_FULL
from pegboard_notes.models import Note
from pegboard_notes.schemas import NewNote, NoteChange, NoteOut

routes = Routes(__name__)


def out(note: Note) -> NoteOut:
    return msgspec.convert(note, NoteOut, from_attributes=True)


@routes.get("/notes")
@signed_in
def list_notes(query: PageQuery) -> Page[NoteOut]:
    """The notes that you may read, newest first."""
    return services.page(query).map(out)


@routes.post("/notes")
@signed_in
@limited("60/minute")
@refuses(NOTES_FULL)
def write_note(body: NewNote) -> Created[NoteOut]:
    """Keep a note, and be reminded of it."""
    note = services.write(body)
    return Created(out(note), location=f"/api/notes/notes/{note.id}", etag=etag_of(note.version))


@routes.get("/notes/<uuid:note_id>")
@requires("notes:read", id="note_id")
@refuses(NOT_FOUND)
def get_note(note_id: UUID) -> Reply[NoteOut]:
    """One note: its owner's, or an administrator's to see."""
    note = services.get(note_id)
    return Reply(out(note), etag=etag_of(note.version))


@routes.patch("/notes/<uuid:note_id>")
@requires("notes:write", id="note_id")
@refuses(NOT_FOUND)
def change_note(note_id: UUID, body: NoteChange) -> Reply[NoteOut]:
    """Change a note that has not changed since you read it: send its `ETag` as `If-Match`."""
    note = services.get(note_id, lock=True)
    if_match(note.version)
    note = services.change(note, body)
    return Reply(out(note), etag=etag_of(note.version))


@routes.delete("/notes/<uuid:note_id>")
@requires("notes:write", id="note_id")
@refuses(NOT_FOUND)
def remove_note(note_id: UUID) -> None:
    """Throw a note away."""
    services.remove(note_id)
