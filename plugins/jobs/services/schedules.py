"""What recurs: looking at schedules, changing them, and running one now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from msgspec import UNSET

from core.background.schedules import tasks
from core.background.schedules.declared import arguments_fault
from core.background.schedules.models import ScheduleRow
from core.background.schedules.rhythm import Rhythm
from core.contracts import TenantDirectory, service
from core.data import PLATFORM, current_tenant, db, new_id, utcnow
from core.errors import CONFLICT, NOT_FOUND, VALIDATION_FAILED, FieldFault, Refused
from core.telemetry import HIDDEN, clean
from core.trust import audit
from core.web import Page, paginate
from plugins.jobs.schedule_schemas import (
    Asked,
    EditSchedule,
    NewSchedule,
    Preview,
    ScheduleOut,
    SchedulesQuery,
    Times,
)
from plugins.jobs.services.sight import check_board_wide

MOST = 1000
"""Schedules that may be made at run time."""


def page(query: SchedulesQuery) -> Page[ScheduleOut]:
    """By name. ``Refused``: FORBIDDEN, INVALID_CURSOR."""
    check_board_wide()
    return paginate(_seen(), ((ScheduleRow.name, "asc"), (ScheduleRow.id, "asc")), query).map(shown)


def found(name: str) -> ScheduleRow:
    """``Refused``: FORBIDDEN, NOT_FOUND."""
    return _one(_seen().where(ScheduleRow.name == name))


def locked(name: str) -> ScheduleRow:
    """The same, kept from others, schedulers included, until the unit ends."""
    return _one(_seen().where(ScheduleRow.name == name).with_for_update())


def _seen() -> sa.Select[Any]:
    """Without those whose jobs run in another tenant: nobody but the platform's people sets anything going there."""
    found = sa.select(ScheduleRow)
    tenant = current_tenant().id
    if tenant == PLATFORM.id:
        return found
    return found.where(sa.or_(ScheduleRow.tenant_id.is_(None), ScheduleRow.tenant_id == tenant))


def _one(wanted: sa.Select[Any]) -> ScheduleRow:
    check_board_wide()
    row: ScheduleRow | None = db.session.scalars(wanted).one_or_none()
    if row is None:
        raise Refused(NOT_FOUND, "there is no such schedule")
    return row


def create(body: NewSchedule) -> ScheduleRow:
    """``Refused``: FORBIDDEN, CONFLICT, VALIDATION_FAILED."""
    check_board_wide()
    made: Any = db.session.scalar(sa.select(sa.func.count()).where(ScheduleRow.source == "runtime"))
    if made >= MOST:
        raise Refused(CONFLICT, f"{MOST} schedules have been made already: delete some, or declare them in code")
    if db.session.scalar(sa.select(ScheduleRow.id).where(ScheduleRow.name == body.name)) is not None:
        raise Refused(CONFLICT, f"there is a schedule {body.name!r} already")
    if body.tenant_id is not None and not _may_set_going_in(body.tenant_id):
        raise _unacceptable([("tenant_id", "there is no such tenant, or it is not yours")])
    row = ScheduleRow(
        name=body.name,
        task=body.task,
        cron=body.cron,
        every_seconds=body.every,
        timezone=body.timezone,
        misfire=body.misfire,
        arguments=body.arguments,
        enabled=body.enabled,
        tenant_id=body.tenant_id,
        source="runtime",
    )
    _check(row.rhythm, row.task, row.arguments)
    row.plan(utcnow())
    db.session.add(row)
    db.session.flush()
    audit.record("jobs.schedule_created", kind="schedule", id=row.name, after=_facts(row))
    return row


def _may_set_going_in(tenant_id: UUID) -> bool:
    """A schedule's jobs are the board's own, for whom nothing is forbidden."""
    mine = current_tenant().id
    return tenant_id == mine or (mine == PLATFORM.id and service(TenantDirectory).by_id(tenant_id) is not None)


def change(row: ScheduleRow, body: EditSchedule) -> ScheduleOut:
    """Of one that is locked. ``Refused(VALIDATION_FAILED)``."""
    given = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
    if "cron" in given and "every" in given:
        raise _unacceptable([("every", "say either a cron entry or every so many seconds")])
    if "cron" in given or "every" in given:
        given |= {"cron": given.get("cron"), "every_seconds": given.pop("every", None)}
    wanted = {**row.facts(), **given}
    if wanted == row.facts():
        return shown(row)
    if wanted.keys() & given.keys() != {"enabled"}:  # one whose task is gone can be disabled all the same
        _check(Rhythm(wanted["cron"], wanted["every_seconds"], wanted["timezone"]), wanted["task"], wanted["arguments"])
    _turn_into(row, wanted, "jobs.schedule_changed", edited=row.source == "code")
    return shown(row)


def reset(name: str) -> ScheduleRow:
    """Have it be what the code says again. ``Refused``: FORBIDDEN, NOT_FOUND, CONFLICT for one made at run time."""
    row = locked(name)
    if row.declared is None:
        raise Refused(CONFLICT, "it was made at run time: no code says how it should be")
    if row.edited:
        _turn_into(row, row.declared, "jobs.schedule_reset", edited=False)
    return row


def _turn_into(row: ScheduleRow, facts: Mapping[str, Any], action: str, *, edited: bool) -> None:
    before = _facts(row)
    row.follow(dict(facts), utcnow())
    row.edited = edited
    db.session.flush()
    audit.record(action, kind="schedule", id=row.name, before=before, after=_facts(row))


def delete(row: ScheduleRow) -> None:
    """Of one that is locked. ``Refused(CONFLICT)`` for one from code, which would come back with the next deploy."""
    if row.source == "code":
        raise Refused(CONFLICT, "it is declared in code: disable it, or take it out there")
    db.session.delete(row)
    audit.record("jobs.schedule_deleted", kind="schedule", id=row.name, before=_facts(row))


def run(name: str) -> Asked:
    """Have a scheduler enqueue its job now; one that was asked for and has not been seen to yet is answered again."""
    row = locked(name)
    if row.asked is None:
        row.asked = new_id()
        audit.record("jobs.schedule_run", kind="schedule", id=row.name, after={"job_id": row.asked})
    return Asked(row.asked)


def upcoming(name: str, count: int) -> Times:
    return Times(found(name).rhythm.next(count, utcnow()))


def preview(body: Preview) -> Times:
    """``Refused``: FORBIDDEN, VALIDATION_FAILED."""
    check_board_wide()
    rhythm = Rhythm(body.cron, body.every, body.timezone)
    if faults := rhythm.faults():
        raise _unacceptable(faults)
    return Times(rhythm.next(body.count, utcnow()))


def _check(rhythm: Rhythm, task: str, arguments: Mapping[str, Any]) -> None:
    faults = rhythm.faults()
    if HIDDEN in map(str, _values(arguments)):
        faults.append(("arguments", f"{HIDDEN} stands for what is not shown: send the value itself, or no arguments"))
    elif why := arguments_fault(arguments):
        faults.append(("arguments", why))
    elif why := tasks.fault(task, arguments):
        faults.append(("arguments" if tasks.known(task) else "task", why))
    if faults:
        raise _unacceptable(faults)


def _values(told: Any) -> Iterator[Any]:
    if isinstance(told, Mapping | list):
        for each in told.values() if isinstance(told, Mapping) else told:
            yield from _values(each)
    else:
        yield told


def _unacceptable(faults: list[tuple[str, str]]) -> Refused:
    told = tuple(FieldFault(f"$.{field}", "BAD_VALUE", why) for field, why in faults)
    return Refused(VALIDATION_FAILED, f"{faults[0][0]}: {faults[0][1]}", fields=told)


def _facts(row: ScheduleRow) -> dict[str, Any]:
    facts = row.facts()
    tenant: UUID | None = row.tenant_id
    return {**facts, "arguments": clean(facts["arguments"]), "tenant_id": tenant}


def shown(row: ScheduleRow) -> ScheduleOut:
    return ScheduleOut(
        name=row.name,
        task=row.task,
        cron=row.cron,
        every=row.every_seconds,
        timezone=row.timezone,
        misfire=row.misfire,  # type: ignore[arg-type]
        arguments=clean(row.arguments),
        enabled=row.enabled,
        source=row.source,  # type: ignore[arg-type]
        edited=row.edited,
        tenant_id=row.tenant_id,
        next_at=row.next_at,
        last_at=row.last_at,
        last_job_id=row.last_job_id,
    )
