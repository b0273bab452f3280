"""The rules of notes. They know no request: who acts, and in which tenant, the board says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from core.background import emit, enqueue_in
from core.contracts import Authorizer, service
from core.data import db
from core.errors import NOT_FOUND, VALIDATION_FAILED, FieldFault, Refused
from core.live import notify
from core.registry import settings_of
from core.trust import current_principal, where
from core.web import Page, PageQuery, paginate
from pegboard_notes.api import NOTES_FULL, NoteWritten
from pegboard_notes.models import NOTE, Note
from pegboard_notes.schemas import NewNote, NoteChange


def page(query: PageQuery) -> Page[Note]:
    """The notes that the caller may read, newest first: their own, and everybody's for an administrator."""
    scope = service(Authorizer).scope(current_principal(), "notes:read", NOTE.kind)
    statement = sa.select(Note).where(where(scope, NOTE))
    return paginate(statement, ((Note.created_at, "desc"), (Note.id, "desc")), query)


def write(new: NewNote) -> Note:
    """Keep a note for the caller, and remind them of it if they wish. ``Refused``: NOTES_FULL, VALIDATION_FAILED."""
    owner_id = current_principal().id
    assert owner_id is not None, "the view is marked @signed_in"
    settings = settings_of("notes")
    if (db.session.scalar(sa.select(sa.func.count(Note.id)).where(Note.owner_id == owner_id)) or 0) >= (
        settings.per_person
    ):
        raise Refused(NOTES_FULL, f"one person may keep {settings.per_person}")
    note = Note(owner_id=owner_id, title=new.title, text=new.text)
    db.session.add(note)
    db.session.flush()
    emit(NoteWritten(note.id, owner_id))
    if new.remind_in is not None:
        if new.remind_in > settings.longest_reminder:
            raise _fault("$.remind_in", f"at most {settings.longest_reminder} seconds ahead")
        enqueue_in(new.remind_in, "notes.remind", note_id=note.id)
    return note


def get(note_id: UUID, *, lock: bool = False) -> Note:
    """One note; with ``lock`` nobody else changes it before this unit ends. ``Refused(NOT_FOUND)``."""
    note = db.session.get(Note, note_id, with_for_update=lock)
    if note is None:
        raise Refused(NOT_FOUND)
    return note


def change(note: Note, wanted: NoteChange) -> Note:
    for name in wanted.__struct_fields__:
        value = getattr(wanted, name)
        if value is not msgspec.UNSET:
            setattr(note, name, value)
    db.session.flush()  # so that the version in the reply is the new one
    return note


def remove(note_id: UUID) -> None:
    db.session.delete(get(note_id))


def remind(note_id: UUID) -> None:
    """Tell a note's owner of it, once however often this is called; a note that is gone reminds nobody."""
    note = db.session.get(Note, note_id)
    if note is not None:
        notify(note.owner_id, kind="notes.reminder", title=note.title, text=note.text, key=f"notes.reminder:{note.id}")


def congratulate(owner_id: UUID) -> None:
    """Leave a word about somebody's first note; the key makes every later call do nothing."""
    text = "Only you can read it. Give it `remind_in` and we tell you of it in time."
    notify(owner_id, kind="notes.first", title="Your first note is kept", text=text, mail=False, key="notes.first")


def _fault(field: str, detail: str) -> Refused:
    return Refused(VALIDATION_FAILED, f"{field}: {detail}", fields=[FieldFault(field, "OUT_OF_RANGE", detail)])


class NotesOfAPerson:
    """Answers ``PersonalData``: what we keep of one person, handed out or erased."""

    def export(self, user_id: UUID) -> Mapping[str, Any]:
        notes = db.session.scalars(sa.select(Note).where(Note.owner_id == user_id).order_by(Note.id))
        return {"notes": [{"title": note.title, "text": note.text, "written": note.created_at} for note in notes]}

    def erase(self, user_id: UUID) -> None:
        db.session.execute(sa.delete(Note).where(Note.owner_id == user_id))
