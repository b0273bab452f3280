from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from core.background.events import emit
from core.background.tasks import enqueue
from core.data.models import db
from core.errors import CONFLICT, NOT_FOUND, Refused
from core.registry import settings_of
from core.trust.identity import current_principal
from core.web.pages import PageQuery, paginate
from core.web.replies import Page
from shelf.api import SHELF_FULL, BookAdded
from shelf.models import Book, Mark


def add(title: str) -> Book:
    """Put a book on the shelf, tell everyone, and have the shelf counted later."""
    if (db.session.scalar(sa.select(sa.func.count(Book.id))) or 0) >= settings_of("shelf").room:
        raise Refused(SHELF_FULL)
    if db.session.scalar(sa.select(Book.id).where(Book.title == title)):
        raise Refused(CONFLICT, f"there is a book called {title!r} already")
    book = Book(title=title, owner_id=current_principal().id)
    db.session.add(book)
    db.session.flush()
    emit(BookAdded(book.id, title))
    enqueue("shelf.count", book_id=book.id)
    return book


def books(query: PageQuery) -> Page[Book]:
    """A page of this tenant's books, newest first."""
    return paginate(sa.select(Book), ((Book.created_at, "desc"), (Book.id, "desc")), query)


def get(book_id: UUID) -> Book:
    book = db.session.get(Book, book_id)
    if book is None:
        raise Refused(NOT_FOUND)
    return book


def remove(book_id: UUID) -> None:
    db.session.delete(get(book_id))


def leave_mark(note: str) -> None:
    db.session.add(Mark(note=note))


def marks() -> list[str]:
    return list(db.session.scalars(sa.select(Mark.note).order_by(Mark.id)))
