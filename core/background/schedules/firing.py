"""What is due becomes a job: the job's row in the outbox and the schedule's next tick are one transaction, so that of
any number of schedulers exactly one fires a tick, and one that is killed has fired it or has not.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

import sqlalchemy as sa
from flask import Flask, current_app

from core.background import duties
from core.background.duties import Duty
from core.background.schedules import reconciling
from core.background.schedules.declared import Book
from core.background.schedules.models import ScheduleRow
from core.background.schedules.tasks import with_tick
from core.contracts import TenantDirectory, service
from core.data import outbox
from core.data.models import db, utcnow
from core.data.tenancy import acting_in
from core.data.unit import in_steps, unit

log = logging.getLogger(__name__)

ON_TIME = timedelta(seconds=60)
"""A tick that is older was missed."""
MOST = 100
"""Ticks of one schedule that run at once after an outage."""
BATCH = 50
LATER = timedelta(hours=1)


def init_app(app: Flask) -> None:
    app.extensions["pegboard.schedules"] = Book()
    duties.add(app, Duty("core.schedules", 1.0, ("scheduler",), _turn, alone=False))


@in_steps
def _turn() -> None:
    book = Book.of(current_app)
    if not book.reconciled:
        reconciling.reconcile()
        book.reconciled = True
        reconciling.tell_unserved()
    while fire() >= BATCH:
        pass


def fire(now: datetime | None = None) -> int:
    """Enqueue what is due, at most ``BATCH`` schedules of each tenant; answers how many those were."""
    now = now or utcnow()
    with unit():
        tenants = db.session.scalars(sa.select(ScheduleRow.tenant_id).where(_due(now)).distinct()).all()
    return max((_fire_of(tenant_id, now) for tenant_id in tenants), default=0)


def _due(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(ScheduleRow.next_at <= now, ScheduleRow.asked.is_not(None))


def _fire_of(tenant_id: UUID | None, now: datetime) -> int:
    with ExitStack() as stack:
        tenant = None if tenant_id is None else service(TenantDirectory).by_id(tenant_id)
        there = tenant_id is None or (tenant is not None and tenant.active)
        if tenant is not None:
            stack.enter_context(acting_in(tenant))
        stack.enter_context(unit())
        found = (
            sa.select(ScheduleRow)
            .where(_due(now), ScheduleRow.tenant_id.is_not_distinct_from(tenant_id))
            .order_by(ScheduleRow.next_at, ScheduleRow.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        rows = db.session.scalars(found).all()
        for row in rows:
            _fire(row, now, there)
    return len(rows)


def _fire(row: ScheduleRow, now: datetime, there: bool) -> None:
    """Put the jobs of one schedule into the outbox and move it on; only move it on where its tenant is not there."""
    facts = {"schedule": row.name, "task": row.task}
    moved: dict[str, object] = {"asked": None}
    try:
        ticks = _ticks(row, now) if row.next_at is not None and row.next_at <= now else []
        if row.next_at is not None and row.next_at <= now:
            moved["next_at"] = row.rhythm.after(now)
    except Exception:  # a time zone that is no more, say: the others must run all the same
        log.exception("a schedule cannot be read, and is tried again in an hour", extra=facts)
        ticks, moved["next_at"] = [], now + LATER
    if there:
        if row.asked is not None:
            moved["last_job_id"] = _put(row, now, row.asked)
        for tick in ticks:
            moved |= {"last_at": tick, "last_job_id": _put(row, tick, tick_id(row.id, tick))}
    else:
        log.warning("a schedule does not run: its tenant is not there", extra=facts)
    # Not through the ORM, whose version is the editors': that it ran is no change of theirs.
    change = sa.update(ScheduleRow).where(ScheduleRow.id == row.id).values(**moved)
    db.session.execute(change, execution_options={"synchronize_session": False})


def _ticks(row: ScheduleRow, now: datetime) -> list[datetime]:
    """Those to run: the ones on time, and of the ones that were missed what the schedule says."""
    assert row.next_at is not None
    found = row.rhythm.last(MOST, row.next_at, now) or [row.next_at]
    on_time = [tick for tick in found if tick > now - ON_TIME]
    late = {"once": found[-1:], "all": found}.get(row.misfire, [])
    chosen = late if row.misfire == "all" else on_time or late
    if chosen[:1] != [row.next_at]:
        told = {"schedule": row.name, "since": row.next_at.isoformat(), "misfire": row.misfire, "run": len(chosen)}
        log.warning("ticks of a schedule were missed: it runs as often as its misfire policy says", extra=told)
    return chosen


def _put(row: ScheduleRow, tick: datetime, id: UUID) -> UUID:
    return outbox.put("task", row.task, with_tick(row.arguments, tick.isoformat()), id=id)


def tick_id(schedule_id: UUID, tick: datetime) -> UUID:
    """The id of a tick's job: a UUIDv8 (RFC 9562) that begins with the tick's milliseconds, as our others do."""
    told = blake2b(schedule_id.bytes + str(tick.astimezone(UTC)).encode(), digest_size=10).digest()
    chance = int.from_bytes(told)
    return UUID(
        int=int(tick.timestamp() * 1000) << 80
        | 0x8 << 76
        | (chance >> 68 & 0xFFF) << 64
        | 0b10 << 62
        | chance & (1 << 62) - 1
    )
