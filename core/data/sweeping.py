"""The sweep of the outbox: what the process that wrote it has not handed over, for it died, Redis was away, the job was
not due or its queue was full."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from core.data import outbox
from core.data.holding import Hold
from core.data.models import db, utcnow
from core.data.outbox import Envelope, Outbox, OutboxRow
from core.data.tenancy import bypass
from core.data.unit import unit

log = logging.getLogger(__name__)

SETTLED = timedelta(seconds=10)
"""How old a row must be before the sweep takes it: until then its own process is probably at it."""
LOOK_AHEAD = timedelta(seconds=10)
"""How long before it is due the sweep hands a row over: a little more than the time between two sweeps."""


def sweep(limit: int = 500, settled: timedelta | None = None) -> int:
    """Hand over what other hands left: rows older than ``settled``, or ``SETTLED``, that are due, or nearly.

    Answers how many it looked at. A row that cannot be handed over keeps the reason, waits longer each time and holds
    up nobody. Raises what the queue raised when it was unreachable; then every row stays as it is.
    """
    box = outbox.box_here()
    if box.deliver is None:
        return 0
    now = utcnow()
    with bypass("outbox sweep"), unit():
        waiting = (
            sa.select(OutboxRow)
            .where(_is_for_sweep(now, SETTLED if settled is None else settled))
            .where(*(hold.spares(OutboxRow) for hold in box.holds.of_sweep(())))
            .order_by(sa.func.coalesce(OutboxRow.due_at, OutboxRow.created_at), OutboxRow.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = db.session.scalars(waiting).all()
        outbox.mark(_taken(box, rows))
    return len(rows)


def is_left_to_sweep(hold: Hold) -> bool:
    """Whether there is something that it holds, and that a sweep is to take."""
    with bypass("outbox sweep"), unit():
        held = sa.select(OutboxRow.id).where(_is_for_sweep(utcnow(), SETTLED)).where(~hold.spares(OutboxRow))
        return db.session.scalar(held.limit(1)) is not None


def _is_for_sweep(now: datetime, settled: timedelta) -> sa.ColumnElement[bool]:
    due = sa.func.coalesce(OutboxRow.due_at, OutboxRow.created_at) <= now + LOOK_AHEAD
    return sa.and_(OutboxRow.handed_at.is_(None), due, OutboxRow.created_at <= now - settled)


def _taken(box: Outbox, seen: Sequence[OutboxRow]) -> list[UUID]:
    """The rows that are on the queue now: all that may be in one go or, where that is refused, one by one."""
    found = [(row, envelope) for row in seen if (envelope := _read(row)) is not None]
    holds = box.holds.of_sweep([envelope for _, envelope in found]) if found else ()
    free = [(row, envelope) for row, envelope in found if not any(hold.has(envelope) for hold in holds)]
    try:
        outbox.deliver(box, [envelope for _, envelope in free], "sweep")
        return [row.id for row, _ in free]
    except Exception as exc:
        if outbox.is_away(exc):
            raise
    taken = []
    for row, envelope in free:
        try:
            outbox.deliver(box, [envelope], "sweep")
            taken.append(row.id)
        except Exception as exc:
            if outbox.is_away(exc):
                break
            _put_off(row, exc)
    return taken


def _read(row: OutboxRow) -> Envelope | None:
    try:
        return outbox.read(row)
    except Exception as exc:
        _put_off(row, exc)
        return None


def _put_off(row: OutboxRow, exc: Exception) -> None:
    """It waits longer each time, for it may well be the same the next time."""
    row.attempts += 1
    row.last_error = outbox.brief(exc)
    row.due_at = utcnow() + LOOK_AHEAD + timedelta(seconds=min(10 * 2**row.attempts, 3600))
    facts = {"job": str(row.id), "task": row.name, "reason": row.last_error}
    log.error("a job cannot be handed over", extra=facts)
