"""A queue's figures by task and by tenant: what waits, runs and has ended, and how long that took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Literal

import msgspec

from core.background.queue import contents, messages, tallies
from core.background.queue.frames import Frame, tenant_of
from core.background.queue.keys import Keys
from core.background.queue.tallies import Ended, Spread
from core.data import redis

By = Literal["task", "tenant"]
LOOKED_AT = 5_000
"""Jobs that are looked at in each state; of more than those ``partial`` is told."""
TURN = 200
"""Jobs after which others get the loop."""
NOTHING = Ended(0, 0, Spread(), Spread())
PLACES = {"waiting": contents.waiting, "delayed": contents.scheduled, "active": contents.leased}


class Part(msgspec.Struct, frozen=True):
    """``name`` is the task's, or the tenant's id; empty for the board's own jobs.

    ``waiting``, ``delayed``, ``active`` and ``oldest_seconds`` are of now, and with ``partial`` of the first 5,000 in
    each state; a tenant's ``waiting`` is of all, its ``oldest_seconds`` of those that come next. ``completed``,
    ``failed`` and ``total`` since the queue began; ``ended``, ``wait_ms`` and ``run_ms`` of the jobs that ended in the
    hours that were asked for.
    """

    name: str
    waiting: int
    delayed: int
    active: int
    completed: int
    failed: int
    total: int
    oldest_seconds: float | None
    partial: bool
    ended: int
    wait_ms: Spread
    run_ms: Spread


def parts(queue: str, by: By, hours: int = 1, lane: str | None = None) -> list[Part]:
    """Sorted by name; with ``lane``, what is that tenant's alone."""
    oldest: dict[str, float] = {}
    now, partial = _by_task(queue, oldest) if by == "task" else _by_tenant(queue, lane, oldest)
    ended, ever = tallies.of(queue, hours), tallies.ever(queue)
    mark = "k:" if by == "task" else "l:"
    known = {*ended, *ever}.union(*now.values())
    keys = {each for each in known if each.startswith(mark) and (by == "task" or _is_lane(each[2:]))}
    found = []
    for key in keys if lane is None else keys & {f"l:{lane}"}:
        waiting, delayed, active = (now[state][key] for state in PLACES)
        completed, failed = ever.get(key, (0, 0))
        recent = ended.get(key, NOTHING)
        part = Part(
            key[2:] if by == "task" else str(tenant_of(key[2:]) or ""),
            waiting,
            delayed,
            active,
            completed,
            failed,
            waiting + delayed + active + completed + failed,
            oldest.get(key),
            partial,
            recent.completed + recent.failed,
            recent.wait,
            recent.run,
        )
        found.append(part)
    return sorted(found, key=lambda part: part.name)


def _by_task(queue: str, oldest: dict[str, float]) -> tuple[dict[str, Counter[str]], bool]:
    """How many there are of each in each state, and whether there are more than were looked at."""
    found = {
        state: _counted(place(queue), "task", oldest if state == "waiting" else {}) for state, place in PLACES.items()
    }
    return {state: counts for state, (counts, _) in found.items()}, any(more for _, more in found.values())


def _by_tenant(queue: str, lane: str | None, oldest: dict[str, float]) -> tuple[dict[str, Counter[str]], bool]:
    """The same. One tenant's jobs are not to be sought among all that others have waiting."""
    store, keys = redis.client(), Keys(queue)
    _counted(contents.heads(store, keys, lane), "tenant", oldest)
    counts = contents.waiting_by_lane(store, keys, lane)
    waiting = Counter({f"l:{one}": many for one, many in counts.items()})
    delayed, more = _counted(contents.scheduled(queue), "tenant", {})
    active, many = _counted(contents.leased(queue), "tenant", {})
    return {"waiting": waiting, "delayed": delayed, "active": active}, more or many


def _is_lane(name: str) -> bool:
    """Whether it is a tenant's: what lies in Redis may be none of ours."""
    try:
        tenant_of(name)
    except ValueError:
        return False
    return True


def _counted(frames: Iterator[Frame], by: By, oldest: dict[str, float]) -> tuple[Counter[str], bool]:
    """How many there are of each, and whether there are more than were looked at."""
    counts: Counter[str] = Counter()
    for at, frame in enumerate(islice(frames, LOOKED_AT), 1):
        if at % TURN == 0:
            time.sleep(0)
        try:
            envelope = messages.decode(frame.message)
        except messages.BadMessage:
            continue
        key = f"k:{envelope.name}" if by == "task" else f"l:{frame.lane}"
        counts[key] += 1
        oldest[key] = max(oldest.get(key, 0.0), round(messages.age(envelope), 1))
    return counts, next(frames, None) is not None
