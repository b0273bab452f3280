"""Thin calls into services; imported by workers only. Everybody else enqueues them by name."""

from __future__ import annotations

from uuid import UUID

from core.background import task
from core.trust import signed_in
from pegboard_notes import services


@task(retries=5)
@signed_in
def remind(note_id: UUID) -> None:
    services.remind(note_id)
