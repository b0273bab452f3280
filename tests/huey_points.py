"""Where users of Huey's own API are met, what there is for them to do, and what must be true once all of it is done."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from grounds import Ground, Point
from huey.api import chord
from huey_shop import DONE, alone, console, fail, follow, note, shop, stumble, total
from throwaway import eventually

from core.background.queue.figures import figures
from core.background.queue.frames import frame
from core.data import redis

QUEUE = "core/background/queue"
HERE = f"{QUEUE}/leased_huey/"
STORAGE = f"{HERE}storage.py:LeasedStorage"
STEP = f"{QUEUE}/leased.py:Leased.step"
SIZE = 4
"""Tasks that a consumer runs at once."""

RUNNERS = (
    Point("the task", "consumer", (1, 9)),
    Point(STEP, "consumer", (1, 2, 3, 6)),
    Point(f"{QUEUE}/leased.py:Leased.reap", "consumer"),
    Point(f"{QUEUE}/leased.py:Leased.expire_gone", "consumer"),
    Point(f"{QUEUE}/leased.py:Leased.beat", "consumer"),
    Point(f"{QUEUE}/leased.py:Leased.held", "unsure_consumer"),
    Point(f"{QUEUE}/leased.py:Leased.leave", "leaving_consumer"),
    Point(f"{STORAGE}.peek_many", "consumer"),
    Point(f"{STORAGE}.put_if_empty", "consumer"),
    Point(f"{STORAGE}.unlock", "consumer"),
    Point("the task", "script", (2,)),
    Point(STEP, "script", (1, 2)),
    Point(f"{QUEUE}/leased.py:Leased.held", "unsure_script"),
)
HOLDERS = (
    Point(f"{STORAGE}.put_if_empty", "holder"),
    Point(f"{HERE}hands.py:Locks.beat", "holder"),
    Point(f"{STORAGE}.unlock", "holder"),
)
ADOPTER = f"{STORAGE}.adopt"
CALLS = {
    f"{QUEUE}/leased.py:Leased.push": "enqueue",
    f"{STORAGE}.replay": "replay",
    f"{STORAGE}.flush_queue": "flush_queue",
    f"{STORAGE}.add_to_schedule": "add_to_schedule",
    f"{STORAGE}.read_schedule": "read_schedule",
    f"{STORAGE}.flush_schedule": "flush_schedule",
    f"{STORAGE}.put_data": "put_data",
    f"{STORAGE}.peek_many": "peek_many",
    f"{STORAGE}.pop_data": "pop_data",
    f"{STORAGE}.put_if_empty": "put_if_empty",
    f"{STORAGE}.unlock": "unlock",
    f"{STORAGE}.result_store_size": "result_store_size",
    f"{STORAGE}.result_items": "result_items",
    f"{STORAGE}.flush_results": "flush_results",
    f"{STORAGE}.incr": "incr",
    f"{STORAGE}.delete_counter": "delete_counter",
    f"{STORAGE}.flush_counters": "flush_counters",
}
LAST = {"replay": 2}
"""Which call of such a one changes something, where it looks first."""


class Wanted:
    """What is to be true once all of it is done."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.results: dict[str, int] = {}
        self.never: list[int] = []
        self._last = 0

    def next(self) -> int:
        self._last += 1
        return self._last

    def __call__(self, signature: Any, *numbers: int, result: int | None = None) -> Any:
        """Of this task we want these numbers to be noted, and the last, or ``result``, to be its result."""
        self.numbers += numbers
        self.results[signature.id] = numbers[-1] if result is None else result
        return signature

    def some(self) -> None:
        """A few tasks of each kind."""
        for _ in range(4):
            number = self.next()
            shop.enqueue(self(note.s(number), number))
        number = self.next()
        shop.enqueue(self(stumble.s(number), number))
        till = f"till {number}"
        for _ in range(2):
            number = self.next()
            shop.enqueue(self(alone.s(number, till), number))
        first, second = self.next(), self.next()
        pipeline = self(note.s(first), first).then(follow, second)
        self(pipeline.on_complete, second)
        shop.enqueue(pipeline)
        members = [self.next() for _ in range(3)]
        last = self.next()
        callback = self(total.s(last), last, result=sum(members))
        shop.enqueue(chord([self(note.s(each), each) for each in members], callback))
        failing, told = self.next(), self.next()
        handler = self(console.s(told), told)
        task = fail.s(failing)
        task.on_error = handler
        shop.enqueue(task)
        later = self.next()
        shop.enqueue(self(note.s(later, delay=0.3), later))
        revoked = note.s(self.next())
        self.never.append(revoked.args[0])
        shop.revoke(revoked, revoke_once=True)
        shop.enqueue(revoked)


def done() -> Counter[int]:
    store: Any = redis.client()
    return Counter(int(each) for each in store.lrange(DONE, 0, -1))


def prepare() -> dict[str, int]:
    """Something of each kind; answers the ``content``."""
    store: Any = redis.client()
    storage = shop.storage
    if found := store.keys(f"{storage.keys.prefix}*"):
        store.delete(*found)
    storage.enqueue(b"first")
    storage.enqueue(b"second", 5)
    storage.add_to_schedule(b"due", datetime(2026, 1, 1, tzinfo=UTC))
    storage.add_to_schedule(b"later", datetime(2100, 1, 1, tzinfo=UTC))
    storage.incr("counted")
    store.hset(storage.keys.dead, "gone", b"{}\n" + frame(b"dead"))
    store.zadd(storage.keys.dead_at, {"gone": 1})
    for key in ("kept", "r:revoked"):
        storage.put_data(key, b"1")
    storage.put_if_empty("locked", b"token", 60)
    for key in ("lapsed", "lapsed too"):
        storage.put_if_empty(key, b"1", 60)
    store.zadd(storage.keys.prefix + "res_until", {"lapsed": 1, "lapsed too": 1})
    return content()


def content() -> dict[str, int]:
    """How much is in each place."""
    store: Any = redis.client()
    count = {b"list": store.llen, b"hash": store.hlen, b"zset": store.zcard, b"set": store.scard}
    return {key.decode(): count[store.type(key)](key) for key in store.keys(f"{shop.storage.keys.prefix}*")}


def nothing_is_left() -> bool:
    """Not a task, a lease, a lock, or a member of a chord."""
    store: Any = redis.client()
    now = figures("huey.shop")
    assert (now.waiting, now.delayed, now.active, now.dead, now.workers) == (0, 0, 0, 0, 0)
    names = {key.decode().removeprefix(shop.storage.keys.prefix) for key in store.keys(f"{shop.storage.keys.prefix}*")}
    assert names <= {"stat", "idle", "procs", "res"}, "counters, and who has left; results were looked at"
    return True


def all_is_done(wanted: Wanted, batches: int, kills: int) -> None:
    """After so many of ``Wanted.some``, and so many kills."""
    found = done()
    missing, more = set(wanted.numbers) - set(found), set(found) - set(wanted.numbers)
    assert not missing and not more, f"not done: {missing}, though revoked: {more}, dead: {shop.storage.dead()}"
    assert found.total() - len(wanted.numbers) <= kills * SIZE, "twice at most what was running at a kill"
    # And the error of each that failed; no revocation, and no lock but of somebody who could not let go of it.
    results = eventually(lambda: len(found := shop.all_results()) == len(wanted.results) + batches and found)
    told = {each: shop.serializer.deserialize(results[each]) for each in wanted.results if each in results}
    assert told == wanted.results
    assert nothing_is_left()


def done_or_not_begun(ground: Ground, kill: Ground, site: str, moment: str) -> None:
    """Of one of the ``CALLS``. ``kill`` has somebody die on the ground."""
    name = CALLS[site]
    at_first = prepare()
    assert ground("storage_call", call=name) == 0
    at_last = content()
    assert at_last != at_first
    prepare()
    kill("storage_call", site, LAST.get(name, 1), moment, call=name)
    assert content() in {"before": [at_first], "sent": [at_first, at_last]}.get(moment, [at_last]), moment
