"""What has had its time: ended sessions after 30 days, events after 90, links and sign-ups once they have expired."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from core.data import all_tenants, db, unit, utcnow
from plugins.auth.models import Event, Link, Session, Signup

ENDED_KEPT = timedelta(days=30)
EVENTS_KEPT = timedelta(days=90)
BATCH = 1000


def purge(batch: int = BATCH) -> int:
    """Drop it in every tenant, so many rows a transaction; answers how many. A duty calls it."""
    now = utcnow()
    ended = sa.func.coalesce(Session.revoked_at, Session.expires_at)
    old: tuple[tuple[Any, sa.ColumnElement[bool]], ...] = (
        (Session, ended < now - ENDED_KEPT),
        (Event, Event.created_at < now - EVENTS_KEPT),
        (Link, Link.expires_at < now),
        (Signup, Signup.expires_at < now),
    )
    gone = 0
    for _ in all_tenants("dropping old sessions and events"):
        for table, condition in old:
            while (dropped := _drop(table, condition, batch)) == batch:
                gone += dropped
            gone += dropped
    return gone


def _drop(table: Any, condition: sa.ColumnElement[bool], batch: int) -> int:
    with unit():
        ids = db.session.scalars(sa.select(table.id).where(condition).limit(batch)).all()
        if ids:
            db.session.execute(sa.delete(table).where(table.id.in_(ids)))
        return len(ids)
