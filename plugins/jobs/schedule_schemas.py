"""Schedules as they go over the wire. Arguments are shown without what looks like a secret."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core.web import Body, PageQuery

# Those from code have a dot in their name, so that neither kind takes the other's.
Name = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_-]{0,79}$", examples=["weekly-report"], description="of one's own, without a dot"),
]
TaskName = Annotated[str, Meta(max_length=200, examples=["shop.send_report"])]
Cron = Annotated[str, Meta(max_length=100, examples=["0 2 * * 1-5"], description="minute, hour, day, month, weekday")]
Every = Annotated[int, Meta(ge=1, le=366 * 86400, examples=[3600], description="seconds, counted from the epoch")]
Zone = Annotated[str, Meta(max_length=64, examples=["Europe/Berlin"])]
Misfire = Annotated[
    Literal["once", "skip", "all"],
    Meta(description="what becomes of ticks that were missed: the last one runs, none, each of the last 100"),
]
Arguments = Annotated[
    dict[str, Any], Meta(examples=[{"day": "$tick"}], description='the value "$tick" stands for the time of the tick')
]
Count = Annotated[int, Meta(ge=1, le=50)]


class SchedulesQuery(PageQuery):
    pass


class NewSchedule(Body):
    """Either ``cron`` in ``timezone``, or ``every``; without ``tenant_id`` its jobs are the board's own."""

    name: Name
    task: TaskName
    cron: Cron | None = None
    every: Every | None = None
    timezone: Zone = "UTC"
    misfire: Misfire = "once"
    arguments: Arguments = {}
    enabled: bool = True
    tenant_id: UUID | None = None


class EditSchedule(Body):
    """What is left out stays; ``cron`` takes the place of ``every``, and the other way round."""

    cron: Cron | UnsetType = UNSET
    every: Every | UnsetType = UNSET
    timezone: Zone | UnsetType = UNSET
    misfire: Misfire | UnsetType = UNSET
    arguments: Arguments | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Preview(Body):
    cron: Cron | None = None
    every: Every | None = None
    timezone: Zone = "UTC"
    count: Count = 10


class NextQuery(Body):
    count: Count = 10


class ScheduleOut(msgspec.Struct):
    """``source`` is ``code`` or ``runtime``; ``edited`` says that deploys leave it as it is, until it is reset."""

    name: Annotated[str, Meta(examples=["jobs.clean_up"])]
    task: TaskName
    cron: Cron | None
    every: Every | None
    timezone: Zone
    misfire: Misfire
    arguments: Arguments
    enabled: bool
    source: Literal["code", "runtime"]
    edited: bool
    tenant_id: UUID | None
    next_at: datetime | None
    last_at: datetime | None
    last_job_id: UUID | None


class Times(msgspec.Struct):
    items: list[datetime]


class Asked(msgspec.Struct):
    """The job that a scheduler is about to enqueue."""

    job_id: UUID
