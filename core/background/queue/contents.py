"""What lies in the queues, read and not taken: for operators, rotation of keys, and tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.background.queue import delivery
from core.background.queue.frames import Frame
from core.background.queue.keys import DEFAULT, Keys
from core.data import redis

BATCH = 500
RANKED = 16
"""Characters before a frame in the sorted set of those with a priority: they keep the order of equals."""


def waiting(queue: str = DEFAULT) -> Iterator[Frame]:
    """What may be taken, the next first."""
    store: Any = redis.client()
    keys = Keys(queue)
    ranked = [(member[RANKED:], score) for member, score in store.zrange(keys.prio, 0, -1, withscores=True)]
    yield from (Frame.read(raw) for raw, score in ranked if score < 0)
    start = 0
    while found := store.lrange(keys.wait, start, start + BATCH - 1):
        yield from map(Frame.read, found)
        start += BATCH
    yield from (Frame.read(raw) for raw, score in ranked if score > 0)


def scheduled(queue: str = DEFAULT) -> Iterator[Frame]:
    """What is not due, the earliest first."""
    store: Any = redis.client()
    yield from map(Frame.read, store.zrange(Keys(queue).sched, 0, -1))


def leased(queue: str = DEFAULT) -> Iterator[Frame]:
    """What processes have taken and not settled."""
    store: Any = redis.client()
    keys = Keys(queue)
    for process in store.zrange(keys.procs, 0, -1):
        yield from map(Frame.read, store.hvals(keys.leases(process.decode())))


def dead(queue: str = DEFAULT) -> Iterator[tuple[Frame, bytes]]:
    """What nobody tries any more, with the record of its end in JSON, which is empty for one that stalled."""
    store: Any = redis.client()
    for _, value in store.hscan_iter(Keys(queue).dead):
        told, _, raw = value.partition(b"\n")
        yield Frame.read(raw), told


def every_message() -> Iterator[bytes]:
    """The message of each job that may run yet, in all queues."""
    for queue in delivery.names():
        for place in (waiting, scheduled, leased):
            yield from (frame.message for frame in place(queue))
        yield from (frame.message for frame, _ in dead(queue))


def run_now(queue: str = DEFAULT) -> int:
    """Have everything that waits for its time be due at once; answers how many that are."""
    store: Any = redis.client()
    key = Keys(queue).sched
    found = store.zrange(key, 0, -1)
    if found:
        store.zadd(key, dict.fromkeys(found, 0), xx=True)
    return len(found)
