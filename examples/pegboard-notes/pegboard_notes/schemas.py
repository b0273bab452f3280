"""What goes over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from core.web import Body

Title = Annotated[str, Meta(min_length=1, max_length=200, examples=["Shopping"])]
Text = Annotated[str, Meta(max_length=20_000, examples=["Bread, butter, figs"])]


class NewNote(Body):
    title: Title
    text: Text = ""
    remind_in: Annotated[int, Meta(ge=0, description="seconds from now")] | None = None


class NoteChange(Body):
    """What is left out stays as it is."""

    title: Title | msgspec.UnsetType = msgspec.UNSET
    text: Text | msgspec.UnsetType = msgspec.UNSET


class NoteOut(msgspec.Struct, frozen=True):
    id: UUID
    title: str
    text: str
    owner_id: UUID
    created_at: datetime
    updated_at: datetime
