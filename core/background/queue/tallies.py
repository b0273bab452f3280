"""How long jobs waited and ran, and what became of them: counted with the step that settles them, told as percentiles.

Times are counted in buckets, each half as long again as the one before (a factor of the square root of 2), by the hour:
for the queue (``q``), each task (``k:<task>``) and each tenant's lane (``l:<lane>``).
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from core.background.queue.keys import Keys
from core.data import redis

HOURS = 24
"""For which times are kept."""
LONGEST = 64
"""The last bucket, of what took 50 days and more."""
POINTS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds within which half, 95 and 99 of a hundred were; ``None`` where there was nothing."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Ended(NamedTuple):
    """What became of the jobs of one queue, task or lane in some hours."""

    completed: int
    failed: int
    wait: Spread
    run: Spread


def told(task: str, lane: str, waited: float, ran: float) -> str:
    """What STEP is told of a job that has ended; both times in seconds."""
    return f"{task.replace(' ', '_')} {lane} {bucket(waited)} {bucket(ran)}"


def untimed(task: str, lane: str) -> str:
    """The same, where nobody knows how long it waited or ran."""
    return f"{task.replace(' ', '_')} {lane} - -"


def bucket(seconds: float) -> int:
    """0 for less than a millisecond."""
    ms = seconds * 1000
    return 0 if ms < 1 else min(LONGEST, 1 + int(2 * math.log2(ms)))


def of(queue: str, hours: int = 1) -> dict[str, Ended]:
    """By ``q``, ``k:<task>`` and ``l:<lane>``: of this hour, which has just begun perhaps, and as many before it."""
    store: Any = redis.client()
    keys, now = Keys(queue), int(time.time() // 3600)
    with store.pipeline(transaction=False) as pipe:
        for hour in range(now - hours, now + 1):
            pipe.hgetall(keys.times(hour))
        found = pipe.execute()
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in found:
        for field, many in one.items():
            whose, _, what = field.decode().rpartition("|")
            sums[whose][what] += int(many)
    return {whose: _ended(counts) for whose, counts in sums.items()}


def ever(queue: str) -> dict[str, tuple[int, int]]:
    """By ``k:<task>`` and ``l:<lane>``: how many were completed, and failed, since the queue began."""
    store: Any = redis.client()
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for field, many in store.hgetall(Keys(queue).ended).items():
        whose, _, what = field.decode().rpartition("|")
        sums[whose][what] += int(many)
    return {whose: (counts["completed"], counts["failed"]) for whose, counts in sums.items()}


def tasks_ever(queue: str) -> dict[str, tuple[int, int]]:
    return {whose[2:]: counts for whose, counts in ever(queue).items() if whose.startswith("k:")}


def _ended(counts: Mapping[str, int]) -> Ended:
    wait = {int(what[1:]): many for what, many in counts.items() if what[0] == "w"}
    run = {int(what[1:]): many for what, many in counts.items() if what[0] == "r"}
    return Ended(counts.get("completed", 0), counts.get("failed", 0), spread(wait), spread(run))


def spread(counts: Mapping[int, int]) -> Spread:
    """Percentiles of a histogram by ``bucket``; within a bucket as if all were spread evenly."""
    return Spread(**{name: _point(counts.items(), part) for name, part in POINTS.items()})


def _point(counts: Iterable[tuple[int, int]], part: float) -> float | None:
    found = sorted(counts)
    wanted = part * sum(many for _, many in found)
    for at, many in found:
        if wanted <= many:
            low, high = (0.0, 1.0) if at == 0 else (2 ** ((at - 1) / 2), 2 ** (at / 2))
            return round(low + (high - low) * wanted / many, 1)
        wanted -= many
    return None
