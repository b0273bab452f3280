"""Rate limits: so many in a period for each key, counted once for the whole board.

The rule is GCRA (the leaky bucket as a meter, ITU-T I.371): ``10/minute`` lets ten through at once and gives one back
every six seconds, so that nobody gains by waiting for a window to turn. One number a key, kept in Redis by a script
that reads Redis's own clock: processes need not agree on the time. While Redis is away each process counts by itself.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from flask import current_app

from core.data.redis import board_key, script
from core.data.tenancy import tenant_or_none
from core.errors import RATE_LIMITED, Refused
from core.trust import secrets

log = logging.getLogger(__name__)

PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
FASTEST = 10_000  # a second; time is counted in whole microseconds, and above this their rounding would show

AWAY = 10.0  # seconds to count locally after Redis failed, so that not every request waits for a time-out
LOCAL_KEYS = 10_000  # remembered a process while Redis is away

_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,4})?\s*(second|minute|hour|day)s?\s*", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """``limit`` units in ``window`` seconds. ``name`` is what clients see the policy called."""

    limit: int
    window: int
    name: str = "default"

    def __post_init__(self) -> None:
        if self.limit < 0 or self.window < 1 or self.limit > FASTEST * self.window or not _NAME.fullmatch(self.name):
            raise ValueError(f"a rate is 0 to {FASTEST} a second, in whole seconds, under a plain name: {self}")

    @classmethod
    def parse(cls, text: str, name: str = "default") -> Rate:
        """``10/minute``, ``100/15 minutes``, ``5/second``; ``0`` means no limit. Raises ``ValueError``."""
        if text.strip() == "0":
            return cls(0, 1, name)
        found = _RATE.fullmatch(text)
        if not found or int(found[1]) == 0:
            raise ValueError(f"{text!r} is no rate: expected such as 10/minute, 100/15 minutes, or 0 for no limit")
        return cls(int(found[1]), int(found[2] or 1) * PERIODS[found[3]], name)

    @property
    def off(self) -> bool:
        return self.limit == 0

    @property
    def interval(self) -> int:
        """Microseconds in which one unit comes back."""
        return self.window * 1_000_000 // self.limit


class Verdict(NamedTuple):
    """What came of a request for units; times are seconds from now.

    ``reset_after``: until everything is available again. ``retry_after``: until this same request would pass, 0 where
    it did. ``next_after``: until one unit more than ``remaining`` is available.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_after: float
    retry_after: float
    next_after: float
    rate: Rate


def take(key: str, rate: Rate, cost: int = 1, *, everywhere: bool = False) -> Verdict:
    """Take ``cost`` units under ``key``, or none where they are not there; ``cost=0`` asks whether one would be.

    Tenants are counted apart, unless ``everywhere``. Never raises for Redis being away. Needs an app context.
    """
    if cost < 0:
        raise ValueError("a cost is never negative")
    if rate.off:
        return Verdict(True, 0, 0, 0.0, 0.0, 0.0, rate)
    return _verdict(rate, cost, *_meters().take(_name(key, rate, everywhere), rate, cost))


def enforce(key: str, rate: Rate, cost: int = 1, *, everywhere: bool = False) -> Verdict:
    """``take``, or ``Refused`` (429) with the headers that say when to come back."""
    verdict = take(key, rate, cost, everywhere=everywhere)
    if not verdict.allowed:
        raise Refused(RATE_LIMITED, headers=headers(verdict))
    return verdict


def headers(*verdicts: Verdict) -> dict[str, str]:
    """``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers-11); ``Retry-After`` on a refusal.

    One list item for each verdict, so their rates need names of their own. Seconds are rounded up.
    """
    shown = [verdict for verdict in verdicts if not verdict.rate.off]
    if not shown:
        return {}
    lines = {
        "RateLimit-Policy": ", ".join(f'"{v.rate.name}";q={v.limit};w={v.rate.window}' for v in shown),
        "RateLimit": ", ".join(f'"{v.rate.name}";r={v.remaining};t={math.ceil(v.next_after)}' for v in shown),
    }
    if waits := [verdict.retry_after for verdict in shown if not verdict.allowed]:
        # Never before the end of the effective window `t` (section 6 of the draft).
        lines["Retry-After"] = str(max(1, math.ceil(max(waits))))
    return lines


def _name(key: str, rate: Rate, everywhere: bool) -> str:
    """The rate is part of the name: another rate for the same key, or after a change of settings, counts anew."""
    # What is counted may be somebody's address, and whoever reads Redis could guess addresses and compare: hashed, with
    # a secret. It comes from the first of SECRET_KEYS, so another one in front counts anew.
    secret = secrets.derive("limits")
    hidden = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, key=secret).hexdigest()
    tenant = None if everywhere else tenant_or_none()
    return board_key("limits", tenant.id if tenant else "-", f"{rate.limit}/{rate.window}", rate.name, hidden)


# -- the meter --------------------------------------------------------------------------------------------------
#
# A key's number is the time, in microseconds, at which it will be full again. Taking moves it by the cost in intervals;
# it may lie at most `limit` intervals ahead of now. Both meters answer (taken, ahead): ahead in microseconds.

_METER = script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, limit, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local moved = full + cost * interval
if cost == 0 or moved - now > limit * interval then
    return {0, full - now}
end
redis.call('SET', KEYS[1], string.format('%.0f', moved), 'PX', math.ceil((moved - now) / 1000))
return {1, moved - now}
""")


class Meters:
    """The board's meter in Redis, and this process's own for while Redis is away."""

    def __init__(self) -> None:
        self._away_until = 0.0
        self._local: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, rate: Rate, cost: int) -> tuple[bool, int]:
        from redis.exceptions import RedisError

        now = time.monotonic()
        if now < self._away_until:
            return self.take_locally(name, rate, cost)
        if self._away_until:
            # This request tries whether Redis is back; the others need not wait with it.
            self._away_until = now + AWAY
        try:
            taken, ahead = _METER([name], [rate.interval, rate.limit, cost])
        except RedisError as exc:
            if not self._away_until:
                log.warning("Redis did not answer, rate limits are counted in each process: %s", exc)
            self._away_until = time.monotonic() + AWAY
            return self.take_locally(name, rate, cost)
        self._away_until = 0.0
        return bool(taken), ahead

    def take_locally(self, name: str, rate: Rate, cost: int) -> tuple[bool, int]:
        with self._lock:
            now = time.monotonic_ns() // 1000
            full = max(self._local.get(name, 0), now)
            moved = full + cost * rate.interval
            if cost == 0 or moved - now > rate.limit * rate.interval:
                return False, full - now
            self._local[name] = moved
            self._local.move_to_end(name)
            if len(self._local) > LOCAL_KEYS:
                self._local.popitem(last=False)
            return True, moved - now


def _meters() -> Meters:
    found: Meters | None = current_app.extensions.get("pegboard.limits")
    return found or current_app.extensions.setdefault("pegboard.limits", Meters())


def _verdict(rate: Rate, cost: int, taken: bool, ahead: int) -> Verdict:
    free = rate.limit * rate.interval - ahead  # microseconds' worth of units
    allowed = taken or (cost == 0 and free >= rate.interval)
    remaining = free // rate.interval
    wait = 0 if allowed else max(cost, 1) * rate.interval - free
    return Verdict(
        allowed=allowed,
        limit=rate.limit,
        remaining=remaining,
        reset_after=ahead / 1e6,
        retry_after=wait / 1e6,
        next_after=((remaining + 1) * rate.interval - free) / 1e6,
        rate=rate,
    )
