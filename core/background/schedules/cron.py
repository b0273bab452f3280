"""The moments of a cron entry in a time zone.

An entry of five fields names times on the wall. ``cronsim`` finds those; which moments they are is told here, for a
clock that is set forward or back:

- An entry that names hours (``30 2 * * *``) runs once for each time on the wall: one that is left out, at the first
  moment after the gap; one that comes twice, the first time.
- An entry whose hours begin with ``*`` (``0 * * * *``, ``*/15 * * * *``) follows the clock as it passes: what is left
  out does not run, and what comes twice runs twice, so that an hourly one goes on from hour to hour.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

SIGNS = re.compile(r"[0-9A-Za-z*,/#-]+")
LONGEST = 100
ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
NEAR = 3 * DAY
"""How far a clock that is set can matter: no zone's ever was by more than a day."""


def zone_named(name: str) -> ZoneInfo:
    """``ValueError`` for what the time zone database does not have."""
    try:
        if not ZONE.fullmatch(name):
            raise ValueError
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"no time zone is called {name!r}; name one as in Europe/Berlin, or UTC") from None


def fault(entry: str) -> str | None:
    """What is wrong with an entry."""
    fields = entry.split()
    if len(fields) != 5 or len(entry) > LONGEST or not all(SIGNS.fullmatch(field) for field in fields):
        return "expected five fields: minute, hour, day of the month, month, day of the week, as in 30 2 * * 1-5"
    try:
        found = _next_on_wall(entry, datetime(2024, 1, 1))  # noqa: DTZ001 - times on a wall have none
    except CronSimError as exc:
        told = str(exc)
        return f"{told[:1].lower()}{told[1:]}"
    return None if found else "names a day that never comes"


def next_after(entry: str, zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The first moment of the entry after ``moment``, in UTC; ``None`` where none comes within fifty years."""
    after = moment.astimezone(UTC).replace(microsecond=0)
    return (_passing if entry.split()[1].startswith("*") else _named)(entry, zone, after)


def _next_on_wall(entry: str, local: datetime) -> datetime | None:
    return next(CronSim(entry, local), None)


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _named(entry: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    for local in CronSim(entry, _wall(after, zone)):
        found = _first_moment(local, zone)
        if found > after:
            return found
    return None


def _first_moment(local: datetime, zone: ZoneInfo) -> datetime:
    """When the wall first shows this time, or has just passed it over."""
    found = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall(found, zone) == local:
        return found
    # In a gap the two folds take the offsets of either side: the clock was set between the moments that they give.
    return _set_between(zone, local.replace(tzinfo=zone, fold=1).astimezone(UTC), found)


def _passing(entry: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    local = _wall(after, zone)
    while (on_wall := _next_on_wall(entry, local)) is not None:
        found = on_wall.replace(tzinfo=UTC) - _offset(after, zone)
        change = _next_change(zone, after, min(found, after + NEAR))
        if change is not None:
            after, local = change, _wall(change, zone) - SECOND  # from there on, that moment included
        elif found <= after + NEAR:
            return found
        else:
            # Nothing of the entry is on the wall until then, nor is a time of before today shown again.
            after = found - 2 * DAY
            local = _wall(after, zone)
    return None


def _next_change(zone: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    """When the clock is next set, after the one moment and not after the other."""
    while after < until:
        step = min(after + DAY, until)
        if _offset(step, zone) != _offset(after, zone):
            return _set_between(zone, after, step)
        after = step
    return None


def _set_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first moment with another offset than ``low`` has; ``high`` has one."""
    before = _offset(low, zone)
    while high - low > SECOND:
        middle = low + timedelta(seconds=(high - low) // SECOND // 2)
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high
