"""What other plugins may know of notes: their event and their error code."""

from __future__ import annotations

from uuid import UUID

import msgspec

from core.errors import declare

NOTES_FULL = declare("NOTES_FULL", 409, "There is no room for another note")


class NoteWritten(msgspec.Struct, frozen=True):
    """Somebody has written a new note. What it says is nobody's business, so the event does not carry it."""

    note_id: UUID
    owner_id: UUID
