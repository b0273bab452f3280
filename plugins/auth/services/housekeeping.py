"""What has had its time: ended sessions after 30 days, events after 90, links and sign-ups once they have expired.

And erasures that nobody came to do: the account itself says that one was asked, so that none is lost with a job.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.background import enqueue
from core.data import all_tenants, db, unit, utcnow
from plugins.auth.models import Event, Link, Session, Signup, User

ENDED_KEPT = timedelta(days=30)
EVENTS_KEPT = timedelta(days=90)
ERASED_WITHIN = timedelta(minutes=5)
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


def finish_erasures(batch: int = BATCH) -> int:
    """Have a job erase, once more, who asked a while ago and is still there; answers how many. A duty calls it."""
    late = User.erase_asked_at < utcnow() - ERASED_WITHIN
    again = 0
    for _ in all_tenants("erasing accounts whose job was lost"):
        rest: sa.ColumnElement[bool] = sa.true()
        while ids := _erase_again(sa.and_(late, rest), batch):
            again += len(ids)
            rest = User.id > ids[-1]
    return again


def _erase_again(condition: sa.ColumnElement[bool], batch: int) -> Sequence[UUID]:
    with unit():
        ids = db.session.scalars(sa.select(User.id).where(condition).order_by(User.id).limit(batch)).all()
        for user_id in ids:
            enqueue("auth.erase", user_id=user_id)
        return ids


def _drop(table: Any, condition: sa.ColumnElement[bool], batch: int) -> int:
    with unit():
        ids = db.session.scalars(sa.select(table.id).where(condition).limit(batch)).all()
        if ids:
            db.session.execute(sa.delete(table).where(table.id.in_(ids)))
        return len(ids)
