"""What was done to one resource, read from the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from core.data.models import db
from core.data.tenancy import current_tenant
from core.trust.audit import AuditEntry


class Change(msgspec.Struct, frozen=True):
    """One thing that somebody did: ``before`` and ``after`` are what changed of the resource, by field."""

    id: UUID
    at: datetime
    action: Annotated[str, Meta(examples=["library.reader_changed"])]
    actor_kind: Annotated[str, Meta(examples=["user"])]
    actor_id: UUID | None
    before: Annotated[dict[str, Any], Meta(examples=[{"status": "active"}])] | None
    after: Annotated[dict[str, Any], Meta(examples=[{"status": "closed"}])] | None
    request_id: Annotated[str, Meta(examples=["0c6d6e5b8f0b4d0e9f3f0a4f6f0c7a51"])] | None


def changes_of(kind: str, id: UUID, limit: int, before: UUID | None = None) -> list[Change]:
    """The latest changes of a resource in the current tenant, at most ``limit``, those older than entry ``before``."""
    wanted = sa.select(*(getattr(AuditEntry, name) for name in Change.__struct_fields__)).where(
        AuditEntry.tenant_id == current_tenant().id, AuditEntry.kind == kind, AuditEntry.resource_id == str(id)
    )
    if before is not None:
        wanted = wanted.where(AuditEntry.id < before)
    return [Change(*row) for row in db.session.execute(wanted.order_by(AuditEntry.id.desc()).limit(limit))]
