"""How the queues stand, asked of Redis and so the same from every process."""

from __future__ import annotations

from typing import Any

import msgspec

from core.background.queue import contents, delivery, messages, tallies
from core.background.queue.keys import Keys
from core.background.queue.settling import Record
from core.background.queue.tallies import Spread
from core.data import redis


class QueueFigures(msgspec.Struct, frozen=True):
    """``waiting`` may be taken, ``delayed`` is not due, ``active`` is leased; the others count since the queue began.

    ``closed_seconds`` is for how long an outage keeps the queue closed; ``oldest_seconds`` the age of the job that
    comes next, from when it was enqueued; ``workers`` how many processes consume it. ``total`` is all of them, those
    that ended included. ``wait_ms`` and ``run_ms`` are of what ended in this hour and the last.
    """

    name: str
    waiting: int
    delayed: int
    active: int
    dead: int
    completed: int
    failed: int
    retried: int
    stalled: int
    paused: bool
    closed_seconds: float
    workers: int
    oldest_seconds: float | None
    total: int
    wait_ms: Spread
    run_ms: Spread


def figures(queue: str) -> QueueFigures:
    store: Any = redis.client()
    keys = Keys(queue)
    with store.pipeline(transaction=False) as pipe:
        pipe.time().zcard(keys.sched).zcard(keys.dead_at).hgetall(keys.stat).zrange(keys.procs, 0, -1, withscores=True)
        pipe.pttl(keys.probe)
        (seconds, micros), delayed, dead, stat, processes, probe = pipe.execute()
    now = seconds + micros / 1e6
    active = sum(store.hlen(keys.leases(each.decode())) for each, _ in processes)
    count = {name.decode(): int(float(value)) for name, value in stat.items()}
    waiting = contents.waiting_count(store, keys)
    recent = tallies.of(queue).get("q")
    return QueueFigures(
        queue,
        waiting,
        delayed,
        active,
        dead,
        count.get("completed", 0),
        count.get("failed", 0),
        count.get("retried", 0),
        count.get("stalled", 0),
        "paused" in count,
        # Over, one job tries whether the service is back: the others wait for what becomes of it.
        max(0.0, round(max(count.get("open_until", 0) / 1000 - now, probe / 1000), 1)),
        sum(until > now * 1000 for _, until in processes),
        _oldest(queue),
        waiting + delayed + active + count.get("completed", 0) + count.get("failed", 0),
        recent.wait if recent else Spread(),
        recent.run if recent else Spread(),
    )


def all_figures() -> list[QueueFigures]:
    return [figures(name) for name in delivery.names()]


def ended(queue: str, how: str) -> list[Record]:
    """The records that the queue keeps of its last jobs, ``completed`` or ``failed``; the latest first."""
    store: Any = redis.client()
    keys = Keys(queue)
    found = store.lrange(keys.done if how == "completed" else keys.failed, 0, -1)
    return [msgspec.json.decode(each, type=Record) for each in found]


def pause(queue: str) -> None:
    """Nothing is taken off it until ``resume``; what runs goes on, and what comes waits."""
    redis.client().hset(Keys(queue).stat, "paused", 1)


def resume(queue: str) -> None:
    redis.client().hdel(Keys(queue).stat, "paused")
    redis.client().publish("pb:q:bell", queue)


def _oldest(queue: str) -> float | None:
    for frame in contents.waiting(queue):
        try:
            return round(messages.age(messages.decode(frame.message)), 1)
        except messages.BadMessage:
            continue
    return None
