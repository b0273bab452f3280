"""What the plugin does by itself."""

from __future__ import annotations

from core.background import Schedule, duty
from core.data import in_steps
from plugins.jobs.services import hours

daily_summary = Schedule("jobs.daily_summary", cron="0 1 * * *", arguments={"tick": "$tick"})
clean_up = Schedule("jobs.clean_up", cron="0 2 * * *")


@duty(every=60, alone=False)
@in_steps
def note_figures() -> None:
    hours.note()
