"""What the shelf keeps of a reader: books in rows, notes in documents, a portrait among the objects."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.contracts import ObjectStore, service
from core.data import db, in_steps, unit
from core.errors import Refused
from shelf.documents import Note
from shelf.models import Book


def portrait(user_id: UUID) -> str:
    return f"shelf/portraits/{user_id}.png"


class ReaderData:
    @in_steps
    def export(self, user_id: UUID) -> dict[str, Any]:
        with unit():
            books = list(db.session.scalars(sa.select(Book.title).where(Book.owner_id == user_id).order_by(Book.id)))
        notes = [note.topic for note in Note.objects(owner_id=user_id)]
        try:
            service(ObjectStore).open(portrait(user_id)).close()
            picture = service(ObjectStore).link(portrait(user_id))
        except Refused:
            picture = None
        return {"books": books, "notes": notes, "portrait": picture}

    @in_steps
    def erase(self, user_id: UUID) -> None:
        service(ObjectStore).delete(portrait(user_id))
        Note.objects(owner_id=user_id).delete()
        with unit():
            db.session.execute(sa.delete(Book).where(Book.owner_id == user_id))
