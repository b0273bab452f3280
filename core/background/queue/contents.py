"""What lies in the queues, read and not taken: for operators, rotation of keys, and tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from core.background.queue import delivery
from core.background.queue.frames import RANKED, Frame
from core.background.queue.keys import DEFAULT, Keys
from core.data import redis

FIRST, BATCH = 8, 500
"""Frames that are fetched at once: a few for those who look at the first alone, and twice as many each time."""


def waiting(queue: str = DEFAULT, lane: str | None = None) -> Iterator[Frame]:
    """What may be taken: each tenant's in its order, whoever's turn is next first; then what waits at gates. With
    ``lane``, of that tenant alone."""
    store: Any = redis.client()
    keys = Keys(queue)
    for one in _lanes(store, keys, lane):
        yield from _listed(store, keys.first(one))
        yield from _ranked(store, keys.ranked(one), "-inf", "(0")
        yield from _listed(store, keys.lane(one))
        yield from _ranked(store, keys.ranked(one), "(0", "+inf")
    for gate in store.smembers(keys.gated):
        yield from _of(lane, _listed(store, keys.at_gate(gate.decode())))


def waiting_count(store: Any, keys: Keys) -> int:
    lanes = _lanes(store, keys, None)
    gates = [each.decode() for each in store.smembers(keys.gated)]
    with store.pipeline(transaction=False) as pipe:
        for lane in lanes:
            pipe.llen(keys.first(lane)).llen(keys.lane(lane)).zcard(keys.ranked(lane))
        for gate in gates:
            pipe.llen(keys.at_gate(gate))
        return sum(pipe.execute())


def waiting_by_lane(store: Any, keys: Keys, lane: str | None = None) -> Counter[str]:
    """How many jobs wait of each tenant, or of one alone, at gates too; none is read for it."""
    lanes = _lanes(store, keys, lane)
    at_gates = {one.decode(): int(many) for one, many in store.hgetall(keys.gate_lengths).items()}
    counts = Counter(at_gates if lane is None else {lane: at_gates.get(lane, 0)})
    with store.pipeline(transaction=False) as pipe:
        for one in lanes:
            pipe.llen(keys.first(one)).llen(keys.lane(one)).zcard(keys.ranked(one))
        found = pipe.execute()
    counts.update({one: sum(found[3 * at : 3 * at + 3]) for at, one in enumerate(lanes)})
    return +counts


def heads(store: Any, keys: Keys, lane: str | None = None) -> Iterator[Frame]:
    """The first in each place where jobs of each tenant wait, or of one alone; of more than 500 gates not of all."""
    lanes, gates = _lanes(store, keys, lane), islice(store.sscan_iter(keys.gated, count=BATCH), BATCH)
    with store.pipeline(transaction=False) as pipe:
        for one in lanes:
            pipe.zrange(keys.ranked(one), 0, 0).lrange(keys.lane(one), 0, 0).lrange(keys.first(one), 0, 0)
        for gate in gates:
            pipe.lrange(keys.at_gate(gate.decode()), 0, 0)
        found = pipe.execute()
    for at, raws in enumerate(found):
        ranked = at < 3 * len(lanes) and at % 3 == 0
        yield from _of(lane, (Frame.read(raw[RANKED:] if ranked else raw) for raw in raws))


def _lanes(store: Any, keys: Keys, lane: str | None) -> list[str]:
    return [each.decode() for each in store.zrange(keys.turns, 0, -1)] if lane is None else [lane]


def _listed(store: Any, key: str) -> Iterator[Frame]:
    return map(Frame.read, _paged(lambda start, many: store.lrange(key, start, start + many - 1)))


def _ranked(store: Any, key: str, low: str, high: str) -> Iterator[Frame]:
    found = _paged(lambda start, many: store.zrangebyscore(key, low, high, start, many))
    return (Frame.read(member[RANKED:]) for member in found)


def _paged(read: Callable[[int, int], list[bytes]]) -> Iterator[bytes]:
    start, many = 0, FIRST
    while found := read(start, many):
        yield from found
        start, many = start + many, min(2 * many, BATCH)


def _of(lane: str | None, frames: Iterator[Frame]) -> Iterator[Frame]:
    return (each for each in frames if lane is None or each.lane == lane)


def scheduled(queue: str = DEFAULT) -> Iterator[Frame]:
    """What is not due, the earliest first."""
    store: Any = redis.client()
    key = Keys(queue).sched
    return map(Frame.read, _paged(lambda start, many: store.zrange(key, start, start + many - 1)))


def leased(queue: str = DEFAULT) -> Iterator[Frame]:
    """What processes have taken and not settled."""
    store: Any = redis.client()
    keys = Keys(queue)
    for process in store.zrange(keys.procs, 0, -1):
        yield from map(Frame.read, store.hvals(keys.leases(process.decode())))


def dead(queue: str = DEFAULT) -> Iterator[tuple[Frame, bytes]]:
    """What nobody tries any more, with the record of its end: empty where an earlier release found it stalled."""
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
