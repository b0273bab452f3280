"""What recurs: clean-up and summary."""

from __future__ import annotations

from datetime import datetime

from core.background import task
from core.data import in_steps
from core.trust import requires
from plugins.jobs.services import housekeeping, reports


@task()
@requires("jobs:write")
@in_steps
def clean_up() -> None:
    housekeeping.clean_up()


@task()
@requires("jobs:write")
@in_steps
def daily_summary(tick: datetime) -> None:
    reports.tell_of_day_before(tick)
