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

    ``from`` and ``to`` are the times of the figures that it is made of, the nearest there are: nothing is known of
    hours in which no scheduler ran, or that are more than a week ago. Where nothing at all is known both are ``null``,
    and there are no queues. ``dead``, ``waiting`` and ``oldest_seconds`` are as of ``to``.
    """

    def report(self, since: str, until: str) -> dict[str, Any]:
        begin, end = interval(since, until)
        known = hours.around(begin, end)
        if known is None:
            return {"since": begin, "until": end, "from": None, "to": None, "queues": []}
        first, last = known
        queues = [
            {
                "name": name,
                "completed": _since(first.queues.get(name), stand, "completed"),
                "failed": _since(first.queues.get(name), stand, "failed"),
                "dead": stand.dead,
                "waiting": stand.waiting,
                "oldest_seconds": stand.oldest_seconds,
            }
            for name, stand in sorted(last.queues.items())
        ]
        return {"since": begin, "until": end, "from": first.at, "to": last.at, "queues": queues}


def _since(before: hours.Stand | None, stand: hours.Stand, figure: str) -> int:
    now: int = getattr(stand, figure)
    was: int = getattr(before, figure) if before else 0
    return now - was if now >= was else now  # they began anew with an empty Redis


def tell_of_day_before(tick: datetime) -> None:
    """Mail yesterday's summary to ADMIN_EMAIL, once for each day; without one, log it."""
    until = tick.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = f"{until - timedelta(days=1):%Y-%m-%d}"
    found = DailySummary().report((until - timedelta(days=1)).isoformat(), until.isoformat())
    known = {name: found[name] for name in ("from", "to", "queues")}
    log.info("daily summary of the jobs", extra={"day": day, **known})
    if not (to := settings().admin_email):
        return
    with acting_in(PLATFORM), unit():
        service(Mailer).send(to=to, subject=f"Jobs of {day}", text=_told(day, found), key=f"jobs.daily_summary:{day}")


def _told(day: str, found: dict[str, Any]) -> str:
    if found["from"] is None:
        return f"Nothing is known of jobs on {day} (UTC): no scheduler ran that could have noted it.\n"
    known = " to ".join(f"{found[name]:%Y-%m-%d %H:%M}" for name in ("from", "to"))
    lines = [f"What became of jobs on {day}, as noted from {known} (UTC):", ""]
    for each in found["queues"]:
        oldest = "" if each["oldest_seconds"] is None else f", the oldest for {each['oldest_seconds']:.0f} s"
        lines.append(
            f"{each['name']}: {each['completed']} completed, {each['failed']} failed; {each['dead']} dead letters,"
            f" {each['waiting']} waiting{oldest}"
        )
    return "\n".join([*lines, ""])
