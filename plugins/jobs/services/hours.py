"""How the queues stood at the beginning of each hour, for a week: what was done in between is the difference."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from core.background.queue import figures
from core.data import redis, utcnow

KEPT = 8 * 24
HOUR = timedelta(hours=1)


class Stand(msgspec.Struct, frozen=True):
    """Of one queue; ``completed`` and ``failed`` count since it began."""

    completed: int
    failed: int
    dead: int
    waiting: int
    oldest_seconds: float | None


class Noted(msgspec.Struct, frozen=True):
    at: datetime
    queues: dict[str, Stand]


def key() -> str:
    return redis.board_key("jobs", "hours")


def note(now: datetime | None = None) -> None:
    """Once an hour, whoever comes first."""
    now = now or utcnow()
    store: Any = redis.client()
    field = _field(now)
    if store.hexists(key(), field):
        return
    store.hsetnx(key(), field, msgspec.json.encode(Noted(now, standing())))
    old = sorted(store.hkeys(key()))[:-KEPT]
    if old:
        store.hdel(key(), *old)


def standing() -> dict[str, Stand]:
    """How they stand now."""
    return {
        each.name: Stand(each.completed, each.failed, each.dead, each.waiting, each.oldest_seconds)
        for each in figures.all_figures()
    }


def around(begin: datetime, end: datetime) -> tuple[Noted, Noted] | None:
    """What was noted nearest to the two times, in this order, at most an hour before the one and after the other.

    How it stands now is among it. ``None`` where that is less than two.
    """
    store: Any = redis.client()
    noted = [msgspec.json.decode(each, type=Noted) for each in store.hvals(key())]
    noted.append(Noted(utcnow(), standing()))
    known = sorted((each for each in noted if begin - HOUR <= each.at <= end + HOUR), key=lambda each: each.at)
    if len(known) < 2:
        return None
    first = min(known[:-1], key=lambda each: abs(each.at - begin))
    later = [each for each in known if each.at > first.at]
    return first, min(later, key=lambda each: abs(each.at - end))


def _field(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H}"
