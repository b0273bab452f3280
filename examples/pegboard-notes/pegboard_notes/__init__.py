"""Private notes with reminders. This module is the manifest and nothing else: every process imports it."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from msgspec import Meta

from core.config import env
from core.contracts import PersonalData
from core.registry import Plugin


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    per_person: Annotated[int, Meta(ge=1)] = env(default=1000, doc="notes that one person may keep")
    longest_reminder: Annotated[int, Meta(ge=1)] = env(
        default=30 * 86_400, doc="seconds ahead that a reminder may lie, at most"
    )


plugin = Plugin(
    name="notes",
    package=__name__,
    api=1,
    settings=Settings,
    # No default_grants: whoever owns a note may read and write it anyway, and nobody else should.
    permissions=("notes:read", "notes:write"),
    provides={PersonalData: "pegboard_notes.services:NotesOfAPerson"},
)
