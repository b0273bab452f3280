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


def nearest(moment: datetime) -> Noted | None:
    """What was noted nearest to it; ``None`` where nothing was within an hour, or it is still to come."""
    store: Any = redis.client()
    raw = store.hmget(key(), [_field(moment + HOUR * step) for step in (-1, 0, 1)])
    found = [msgspec.json.decode(each, type=Noted) for each in raw if each is not None]
    near = [each for each in found if abs(each.at - moment) <= HOUR]
    return min(near, key=lambda each: abs(each.at - moment), default=None)


def _field(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H}"
