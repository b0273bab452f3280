"""Bringing the table up to date with what code declares, as a scheduler starts; several at once agree."""

from __future__ import annotations

import logging
from datetime import datetime

import sqlalchemy as sa
from flask import current_app

from core.background.schedules import tasks
from core.background.schedules.declared import Book
from core.background.schedules.models import ScheduleRow
from core.data import redis
from core.data.models import db, utcnow
from core.data.unit import unit

log = logging.getLogger(__name__)

LOCK = "select pg_advisory_xact_lock(hashtext('pegboard schedules'))"
CODE, RUNTIME = "code", "runtime"


def reconcile(now: datetime | None = None) -> dict[str, str]:
    """Answers what was done with each: ``added``, ``changed``, ``kept`` (changed in code, and edited) or ``removed``.

    What has been made at run time is left alone, and so is what was edited, whose own value of ``declared`` is renewed.
    """
    now = now or utcnow()
    done: dict[str, str] = {}
    with unit():
        db.session.execute(sa.text(LOCK))
        found = sa.select(ScheduleRow).where(ScheduleRow.source == CODE).with_for_update()
        rows = {row.name: row for row in db.session.scalars(found)}
        for name, schedule in Book.of(current_app).declared.items():
            facts = schedule.facts()
            row = rows.pop(name, None)
            if row is None:
                row = ScheduleRow(name=name, source=CODE, declared=facts, **facts)
                row.plan(now)
                db.session.add(row)
                done[name] = "added"
            elif row.declared != facts:
                row.declared = facts
                if not row.edited:
                    row.follow(facts, now)
                done[name] = "kept" if row.edited else "changed"
        for name, row in rows.items():
            db.session.delete(row)
            done[name] = "removed"
    if done:
        log.info("schedules follow the code", extra={"schedules": done})
    return done


def tell_unserved() -> None:
    """Log which schedules would have their jobs wait for nobody."""
    with unit():
        rows = db.session.execute(sa.select(ScheduleRow.name, ScheduleRow.task).where(ScheduleRow.enabled)).all()
    for name, why in tasks.unserved(redis.client(), [(row.name, row.task) for row in rows]):
        log.warning("a schedule's jobs would wait for nobody", extra={"schedule": name, "reason": why})
