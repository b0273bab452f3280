"""What others may know of the shelf."""

from uuid import UUID

import msgspec

from core.errors import declare

SHELF_FULL = declare("SHELF_FULL", 409, "There is no room for another book")


class BookAdded(msgspec.Struct, frozen=True):
    """A book has been put on the shelf."""

    book_id: UUID
    title: str
