from __future__ import annotations

from uuid import UUID

import msgspec

from core.trust.permissions import public, requires, signed_in
from core.web.pages import PageQuery
from core.web.replies import Created, Page
from core.web.routes import Routes
from shelf import services
from shelf.models import Book
from shelf.schemas import BookOut, NewBook

routes = Routes(__name__)


class Marks(msgspec.Struct):
    marks: list[str]


def out(book: Book) -> BookOut:
    return msgspec.convert(book, BookOut, from_attributes=True)


@routes.get("/books")
@requires("shelf:read")
def list_books(query: PageQuery) -> Page[BookOut]:
    """The books of this tenant, newest first."""
    page = services.books(query)
    return Page([out(book) for book in page.items], page.next)


@routes.post("/books")
@signed_in
def add_book(body: NewBook) -> Created[BookOut]:
    """Put a book on the shelf."""
    book = services.add(body.title)
    return Created(out(book), location=f"/api/shelf/books/{book.id}")


@routes.get("/books/<uuid:book_id>")
@requires("shelf:read")
def get_book(book_id: UUID) -> BookOut:
    """One book."""
    return out(services.get(book_id))


@routes.delete("/books/<uuid:book_id>")
@requires("shelf:write", id="book_id")
def remove_book(book_id: UUID) -> None:
    """Take a book off the shelf: its owner, or an editor."""
    services.remove(book_id)


@routes.get("/marks")
@public
def marks() -> Marks:
    """What listeners and tasks have left behind."""
    return Marks(services.marks())
