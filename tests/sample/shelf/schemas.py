from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from core.web.bodies import Body

Title = Annotated[str, Meta(min_length=1, max_length=200, examples=["Middlemarch"])]


class NewBook(Body):
    title: Title


class BookOut(msgspec.Struct, frozen=True):
    id: UUID
    title: str
    owner_id: UUID | None
    version: int
    created_at: datetime
