"""Whoever uses Huey's own API may be killed at any call to Redis: the points are found in the code, and met here.

What is true afterwards: each task is done, at most those twice that were running, its result and what follows is there
once, nothing is held by the dead; a call of the storage is done, or not begun.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from grounds import Ground, Point, opened
from huey.api import chord
from huey.exceptions import TaskException
from huey_shop import DONE, alone, console, fail, follow, note, shop, stumble, total
from redis_sites import changing
from throwaway import eventually

from core.background.queue.figures import figures
from core.background.queue.frames import frame
from core.data import redis
from core.ops.testing import TestServers

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


def test_every_call_that_changes_redis_has_a_point_at_which_somebody_is_killed(ctx: Flask) -> None:
    store: Any = redis.client()
    changes = changing(store.command())
    met = {point.site for point in (*RUNNERS, *HOLDERS)} - {"the task"} | set(CALLS) | {ADOPTER}
    assert {site for site in changes if site.startswith(HERE)} - met == set(), "add a point at which somebody is killed"
    assert met - changes == set(), "there is no such call any more"


@pytest.fixture(scope="module")
def killing_ground(servers: TestServers) -> Iterator[Ground]:
    with opened("huey_ground", os.environ) as ground:
        yield ground


@pytest.fixture
def ground(ctx: Flask, killing_ground: Ground) -> Iterator[Ground]:
    yield killing_ground
    shop.storage.close()


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


def test_whoever_runs_tasks_may_be_killed_at_any_call(ground: Ground) -> None:
    wanted = Wanted()
    kills = 0
    for point in RUNNERS:
        for nth in point.calls:
            for before in (True, False):
                wanted.some()
                came = ground(point.role, point.site, nth, before)
                assert came == -signal.SIGKILL, f"{point} was not met at call {nth}, {before=}: {came}"
                kills += 1
    assert ground("idle_consumer") == 0
    found = done()
    assert set(found) == set(wanted.numbers), "each is done, and none that was revoked"
    assert found.total() - len(wanted.numbers) <= kills * SIZE, "twice at most what was running at a kill"
    results = shop.all_results()
    told = {each: shop.serializer.deserialize(results[each]) for each in wanted.results if each in results}
    assert told == wanted.results
    assert len(results) - len(told) == kills, "and the error of each that failed; no lock, no revocation"
    assert nothing_is_left()


def test_a_task_that_was_never_on_the_queue_is_ours_or_was_not_begun(ground: Ground) -> None:
    for number, (site, before) in enumerate([(ADOPTER, True), (ADOPTER, False), (STEP, True), (STEP, False)]):
        assert ground("executor", site, 1, before, number=number) == -signal.SIGKILL
    assert ground("idle_consumer") == 0
    assert done() == {1: 1, 2: 2, 3: 1}, "somebody else did what was leased and not settled"
    assert nothing_is_left()


def test_whoever_finds_a_task_dead_may_be_killed_and_those_who_wait_are_told(ground: Ground) -> None:
    finders = [(f"{QUEUE}/leased.py:Leased.reap", 1), (STEP, 2)]
    results = []
    for site, nth in finders:
        for before in (True, False):
            results.append(note(1))
            assert ground("consumer", "the task") == -signal.SIGKILL
            assert ground("consumer", site, nth, before, stalls=0) == -signal.SIGKILL
            assert ground("idle_consumer", stalls=0) == 0
    for result in results:
        with pytest.raises(TaskException, match="fell silent"):
            result()
    assert figures("huey.shop").dead == len(results) == figures("huey.shop").failed
    assert done() == {}
    for key in shop.storage.dead():
        assert shop.storage.replay(key)
    assert ground("idle_consumer") == 0
    assert done() == {1: len(results)}
    assert nothing_is_left()


def test_a_lock_lapses_with_whoever_held_it(ground: Ground) -> None:
    kills = [(point, before) for point in HOLDERS for before in (True, False)]
    for number, (point, before) in enumerate(kills):
        assert ground(point.role, point.site, 1, before, lock=f"lock {number}") == -signal.SIGKILL
    assert not shop.is_locked("lock 0"), "nobody ever had it"
    assert not shop.is_locked(f"lock {len(kills) - 1}"), "it was let go"
    for number in range(len(kills)):
        eventually(lambda lock=f"lock {number}": not shop.is_locked(lock))
    assert ground("holder", lock="lock 1") == 0, "and can be had"


def test_periodic_tasks_are_enqueued_once_a_minute_whoever_is_killed(ground: Ground) -> None:
    noon = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - Huey's times have no zone
    for minute, before in enumerate((True, False)):
        at = (noon + timedelta(minutes=minute)).isoformat()
        assert ground("scheduler", f"{QUEUE}/leased.py:Leased.push", 1, before, at=at) == -signal.SIGKILL
        assert shop.pending_count() == (0 if before else 2)
        for _ in range(2):
            assert ground("scheduler", at=at) == 0
        assert shop.pending_count() == minute + 1


@pytest.mark.parametrize(("site", "name"), CALLS.items())
def test_one_who_is_killed_leaves_a_call_done_or_not_begun(ground: Ground, site: str, name: str) -> None:
    at_first, nth = prepare(), LAST.get(name, 1)
    assert ground("storage_call", site, nth, True, call=name) == -signal.SIGKILL
    assert content() == at_first
    assert ground("storage_call", site, nth, False, call=name) == -signal.SIGKILL
    after_a_kill = content()
    prepare()
    assert ground("storage_call", call=name) == 0
    assert after_a_kill == content() != at_first


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
