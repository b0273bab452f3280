"""The table of schedules: those of code and those made at run time, each with when it is due next."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.background.schedules.rhythm import Rhythm
from core.data.columns import Versioned
from core.data.models import GlobalModel

FACTS = ("task", "cron", "every_seconds", "timezone", "misfire", "arguments", "enabled")


class ScheduleRow(Versioned, GlobalModel):
    """``next_at`` is the tick that comes next, ``last_at`` the last that ran; ``declared`` what code says of one from
    code, and ``edited`` whether that was changed since. ``asked`` is the id of a job that is to run now, whatever the
    time."""

    __tablename__ = "core_schedules"
    __table_args__ = (sa.UniqueConstraint("name"), sa.Index(None, "next_at"))

    name: Mapped[str] = mapped_column(sa.String(120))
    task: Mapped[str] = mapped_column(sa.String(200))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSONB)
    cron: Mapped[str | None] = mapped_column(sa.String(100))
    every_seconds: Mapped[int | None] = mapped_column(sa.Integer)
    timezone: Mapped[str] = mapped_column(sa.String(64))
    misfire: Mapped[str] = mapped_column(sa.String(10))
    enabled: Mapped[bool] = mapped_column(sa.Boolean)
    source: Mapped[str] = mapped_column(sa.String(10))
    declared: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)
    edited: Mapped[bool] = mapped_column(sa.Boolean, default=False)
    # Not a tenant's row, which would be fenced, but the board's, that names one.
    tenant_id: Mapped[UUID | None] = mapped_column("runs_in", sa.Uuid, default=None)
    next_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None)
    last_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None)
    last_job_id: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)
    asked: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)

    @property
    def rhythm(self) -> Rhythm:
        return Rhythm(self.cron, self.every_seconds, self.timezone)

    def facts(self) -> dict[str, Any]:
        """It as ``Schedule.facts`` tells of one in code."""
        return {name: getattr(self, name) for name in FACTS}

    def plan(self, now: datetime) -> None:
        """Find its next tick anew: after now, and after the last that ran, which a clock ahead may have fired early."""
        after = now if self.last_at is None else max(now, self.last_at)
        self.next_at = self.rhythm.after(after) if self.enabled else None

    def follow(self, facts: dict[str, Any], now: datetime) -> None:
        """Be as these say, by column; a tick that is due stays due where nothing changes when it runs."""
        before = (self.rhythm, self.enabled)
        for column, value in facts.items():
            setattr(self, column, value)
        if (self.rhythm, self.enabled) != before:
            self.plan(now)
