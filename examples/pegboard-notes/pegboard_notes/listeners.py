"""What happens because something else did. ``durable``: its job commits with the note, and a worker performs it."""

from __future__ import annotations

from core.background import on
from pegboard_notes import services
from pegboard_notes.api import NoteWritten


@on(NoteWritten, durable=True)
def congratulate(event: NoteWritten) -> None:
    services.congratulate(event.owner_id)
