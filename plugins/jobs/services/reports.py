"""The reports ``system_health`` and ``daily_summary``, and the mail of the latter."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from core.background.duties import last_runs
from core.background.queue import figures
from core.config import settings
from core.contracts import Mailer, service
from core.data import PLATFORM, acting_in, unit, utcnow
from core.data.intervals import interval
from plugins.jobs.services import hours

log = logging.getLogger(__name__)


class SystemHealth:
    """Answers ``ReportSource``: how the queues and duties stand now, whatever the interval."""

    def report(self, since: str, until: str) -> dict[str, Any]:
        interval(since, until)
        duties = last_runs()
        return {
            "at": utcnow(),
            "queues": [msgspec.to_builtins(each) for each in figures.all_figures()],
            "duties": duties,
            "failing": sorted(name for name, run in duties.items() if run["error"]),
        }


class DailySummary:
    """Answers ``ReportSource``: what became of jobs in the interval, by queue, to the hour.

    ``from`` and ``to`` are the times of the figures that it is made of: nothing is known of hours in which no scheduler
    ran, or that are more than a week ago (``null``: from the beginning, until now). ``dead``, ``waiting`` and
    ``oldest_seconds`` are as of the end.
    """

    def report(self, since: str, until: str) -> dict[str, Any]:
        begin, end = interval(since, until)
        first, last = hours.nearest(begin), hours.nearest(end)
        before = first.queues if first else {}
        queues = []
        for name, stand in sorted((last.queues if last else hours.standing()).items()):
            was = before.get(name)
            done, failed = (stand.completed, stand.failed)
            if was is not None:
                done, failed = max(0, done - was.completed), max(0, failed - was.failed)
            queues.append(
                {
                    "name": name,
                    "completed": done,
                    "failed": failed,
                    "dead": stand.dead,
                    "waiting": stand.waiting,
                    "oldest_seconds": stand.oldest_seconds,
                }
            )
        times = {"from": first and first.at, "to": last and last.at}
        return {"since": begin, "until": end, **times, "queues": queues}


def tell_of_day_before(tick: datetime) -> None:
    """Mail yesterday's summary to ADMIN_EMAIL, once for each day; without one, log it."""
    until = tick.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = until - timedelta(days=1)
    found = DailySummary().report(since.isoformat(), until.isoformat())
    log.info("daily summary of the jobs", extra={"day": f"{since:%Y-%m-%d}", "queues": found["queues"]})
    if not (to := settings().admin_email):
        return
    day = f"{since:%Y-%m-%d}"
    with acting_in(PLATFORM), unit():
        service(Mailer).send(
            to=to, subject=f"Jobs of {day}", text=_told(day, found["queues"]), key=f"jobs.daily_summary:{day}"
        )


def _told(day: str, queues: list[dict[str, Any]]) -> str:
    lines = [f"What became of jobs on {day} (UTC):", ""]
    for each in queues:
        oldest = "" if each["oldest_seconds"] is None else f", the oldest for {each['oldest_seconds']:.0f} s"
        lines.append(
            f"{each['name']}: {each['completed']} completed, {each['failed']} failed; {each['dead']} dead letters,"
            f" {each['waiting']} waiting{oldest}"
        )
    return "\n".join([*lines, ""])
