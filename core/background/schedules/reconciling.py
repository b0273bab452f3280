"""Bringing the table up to date with what code declares, as a scheduler starts; several at once agree."""

from __future__ import annotations

import logging
from datetime import datetime

import sqlalchemy as sa
from flask import Flask, current_app

from core.background.queue import consumers
from core.background.queue.routes import route_of
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


def tell_unconsumed(app: Flask) -> None:
    """Log which schedules would have their jobs wait for nobody: no worker knows the task, or consumes its queue."""
    with unit():
        found = db.session.execute(sa.select(ScheduleRow.name, ScheduleRow.task).where(ScheduleRow.enabled)).all()
    client = redis.client()
    for name, task in found:
        known = tasks.told(task)
        queue = known.queue if known else route_of(task).queue
        if known is None:
            told = "no worker has told of its task yet"
        elif not consumers.of(client, queue).workers:
            told = "no worker consumes its queue"
        else:
            continue
        log.warning("a schedule's jobs would wait", extra={"schedule": name, "task": task, "reason": told})
