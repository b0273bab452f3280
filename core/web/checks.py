"""What ``/readyz`` asks on every board: the three stores, the outbox's backlog, and whether migrations are pending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from core.data import documents, redis
from core.data.migrations import behind
from core.data.models import db
from core.data.outbox import OutboxRow
from core.data.tenancy import bypass
from core.data.unit import unit


def database() -> None:
    with unit():
        db.session.execute(sa.text("select 1"))


def redis_server() -> None:
    redis.client().ping()


def document_store() -> None:
    documents.ping()


def outbox() -> dict[str, Any]:
    """Jobs that no queue has taken yet, and the age in seconds of the oldest that is due."""
    due = sa.func.coalesce(OutboxRow.due_at, OutboxRow.created_at)
    age = sa.func.extract("epoch", sa.func.now() - sa.func.min(due))
    here = sa.and_(OutboxRow.handed_at.is_(None), due <= sa.func.now())
    with bypass("outbox sweep"), unit():
        waiting, oldest = db.session.execute(sa.select(sa.func.count(), age).where(here)).one()
    return {"waiting": waiting, "oldest_seconds": round(float(oldest or 0), 1)}


def migrations() -> dict[str, Any]:
    """Names of the histories whose last revision this database has not seen."""
    return {"pending": behind.pending()}


Checks = dict[str, Callable[[], dict[str, Any] | None]]

STORES: Checks = {"database": database, "redis": redis_server, "documents": document_store}
IN_DATABASE: Checks = {"outbox": outbox, "migrations": migrations}
