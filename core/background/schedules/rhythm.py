"""When something recurs: by a cron entry in a time zone, or every so many seconds; and what of it was missed."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from core.background.schedules import cron

LONGEST = 366 * 86400
SECOND = timedelta(seconds=1)


@dataclasses.dataclass(frozen=True)
class Rhythm:
    """``every`` counts from the epoch, so that all processes, and all releases, mean the same moments."""

    cron: str | None = None
    every: int | None = None
    timezone: str = "UTC"

    def faults(self) -> list[tuple[str, str]]:
        """What is wrong with it: the name of the field, and words that follow it."""
        found: list[tuple[str, str]] = []
        if (self.cron is None) == (self.every is None):
            found.append(("cron", "say either a cron entry or every so many seconds"))
        if self.cron is not None and (why := cron.fault(self.cron) if isinstance(self.cron, str) else "is no text"):
            found.append(("cron", why))
        whole = isinstance(self.every, int) and not isinstance(self.every, bool)
        if self.every is not None and not (whole and 0 < self.every <= LONGEST):
            found.append(("every", "expected a whole number of seconds, from 1 to those of a year"))
        try:
            cron.zone_named(str(self.timezone))
        except ValueError as exc:
            found.append(("timezone", str(exc)))
        return found

    def after(self, moment: datetime) -> datetime | None:
        """The first tick after ``moment``, in UTC; ``None`` where none comes within fifty years."""
        if self.every is not None:
            return datetime.fromtimestamp((int(moment.timestamp()) // self.every + 1) * self.every, UTC)
        assert self.cron is not None
        return cron.next_after(self.cron, cron.zone_named(self.timezone), moment)

    def ticks(self, after: datetime) -> Iterator[datetime]:
        tick = self.after(after)
        while tick is not None:
            yield tick
            tick = self.after(tick)

    def next(self, count: int, after: datetime) -> list[datetime]:
        return list(islice(self.ticks(after), count))

    def last(self, most: int, first: datetime, until: datetime) -> list[datetime]:
        """The last ticks from ``first``, which is one, to ``until``, at most so many; the earliest first.

        After a year's outage a minutely schedule has half a million: they are looked for from the end.
        """
        span = timedelta(minutes=1)
        while True:
            begin = max(first - SECOND, until - span)
            found: deque[datetime] = deque(maxlen=most)
            for tick in self.ticks(begin):
                if tick > until:
                    break
                found.append(tick)
            if len(found) == most or begin < first:
                return list(found)
            span *= 8
