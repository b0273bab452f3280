"""Rows of the outbox whose jobs a queue has taken: they stay until that is certain.

Redis answers before it has written to its disk, and Valkey with ``appendfsync everysec`` while it syncs before it has
written at all: a server that is killed in those moments has forgotten what it had answered. So a row is deleted some
seconds later, once its queue is asked whether it has it; one that is lost is handed over again.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from flask import current_app

from core import telemetry
from core.data.envelopes import Envelope, Handed
from core.data.models import db, utcnow
from core.data.outbox import Outbox, OutboxRow
from core.data.tenancy import bypass
from core.data.unit import unit

log = logging.getLogger(__name__)

CERTAIN = timedelta(seconds=3)
"""After so long Valkey has written what it answered: it puts that off for two seconds at most."""


def confirm(limit: int = 500, after: timedelta = CERTAIN) -> int:
    """Delete the rows of jobs that were handed over so long ago, and leave those that are lost to the sweep.

    Answers how many it looked at. Raises what the queue raised when it was unreachable; then every row stays.
    """
    box: Outbox = current_app.extensions["pegboard.outbox"]
    with bypass("outbox sweep"), unit():
        found = (
            sa.select(OutboxRow.id, OutboxRow.kind, OutboxRow.name, OutboxRow.context, OutboxRow.handed_at)
            .where(OutboxRow.handed_at <= utcnow() - after)
            .order_by(OutboxRow.handed_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        handed = [
            Handed(Envelope(id, kind, name, {}, attempt=context["attempt"]), at)
            for id, kind, name, context, at in db.session.execute(found)
        ]
        lost = box.lost(handed) if handed else set()
        _delete([each.envelope.id for each in handed if each.envelope.id not in lost])
        _give_back(lost)
    return len(handed)


def _delete(ids: list[UUID]) -> None:
    if ids:
        db.session.execute(sa.delete(OutboxRow).where(OutboxRow.id.in_(ids)), execution_options=_PLAIN)


def _give_back(ids: set[UUID]) -> None:
    if ids:
        log.error("Redis has lost jobs that it had taken: they are handed over again", extra={"many": len(ids)})
        for _ in ids:
            telemetry.count("outbox_rows_total", path="lost")
        again = sa.update(OutboxRow).where(OutboxRow.id.in_(ids)).values(handed_at=None)
        db.session.execute(again, execution_options=_PLAIN)


_PLAIN = {"synchronize_session": False}
