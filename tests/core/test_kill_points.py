"""A process may be killed at any call to Redis: the points are found in the code, and whoever meets one dies there.

What is true afterwards: each job is done, at most those twice that were running, nothing is held by the dead.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from grounds import Ground, Point, opened
from handover import NOW
from redis_sites import changing
from throwaway import install

from core.background.chains import enqueue_chain, enqueue_group, step
from core.background.queue import contents, dead
from core.background.queue.figures import ended, figures
from core.background.tasks import enqueue, enqueue_in
from core.data import outbox, redis
from core.data.unit import unit
from core.ops.testing import TestServers

QUEUE = "core/background/queue"
SIZE, CHAIN = 4, ("note", "stumble", "show")
"""Jobs that a worker runs at once; the tasks of a chain."""

TASKS = """\
    import time
    from core.background import AtOnce, current_job, task
    from core.data import redis
    from core.data.unit import in_steps
    from core.trust import public

    def did(number: int) -> None:
        time.sleep(0.002)
        redis.client().rpush("chores:done", number)

    @task()
    @public
    @in_steps
    def note(number: int) -> None:
        did(number)

    @task(retry_delay=0.01)
    @public
    @in_steps
    def stumble(number: int) -> None:
        if redis.client().incr(f"chores:tries:{number}") == 1:
            raise ValueError("at first")
        did(number)

    @task(unique=True)
    @public
    @in_steps
    def alone(number: int) -> None:
        did(number)

    @task(limits=(AtOnce(1),))
    @public
    @in_steps
    def one_by_one(number: int) -> None:
        did(number)

    @task(followed=True)
    @public
    @in_steps
    def show(number: int) -> None:
        current_job().log("now")
        did(number)

    @task()
    @public
    @in_steps
    def bind(number: int, after: list[int], results: list[None]) -> None:
        there = {int(each) for each in redis.client().lrange("chores:done", 0, -1)}
        if not there >= set(after) or results != [None] * len(after):
            redis.client().rpush("chores:early", number)
        did(number)

    @task(retries=0)
    @public
    def fail(number: int) -> None:
        raise ValueError("always")
    """


WORKERS = (
    Point("the task", "worker", (1, 2, 5)),
    Point(f"{QUEUE}/leased.py:Leased.step", "worker", (1, 2, 3, 4, 6)),
    Point(f"{QUEUE}/leased.py:Leased.reap", "worker"),
    Point(f"{QUEUE}/leased.py:Leased.expire_gone", "worker", (1, 2)),
    Point(f"{QUEUE}/leased.py:Leased.beat", "worker"),
    Point(f"{QUEUE}/leased.py:Leased.held", "unsure_worker"),
    Point(f"{QUEUE}/leased.py:Leased.leave", "leaving_worker"),
    Point(f"{QUEUE}/routes.py:tell", "worker"),
    Point("core/background/schedules/tasks.py:tell", "worker"),
    Point(f"{QUEUE}/telling.py:Teller._send", "worker", (1, 2)),
)
ENQUEUERS = (
    Point(f"{QUEUE}/delivery.py:_push", "enqueuer"),
    Point(f"{QUEUE}/delivery.py:remember", "enqueuer"),
)
CALLS = {
    "core/background/duties.py:_record": "run_duty",
    "core/background/lease.py:Lease.take": "hold_lease",
    "core/background/lease.py:Lease.keep_alive": "hold_lease",
    "core/background/lease.py:Lease.release": "hold_lease",
    f"{QUEUE}/dead.py:replay": "replay",
    f"{QUEUE}/dead.py:discard": "discard",
    f"{QUEUE}/groups.py:apply": "count",
    f"{QUEUE}/figures.py:pause": "pause_and_resume",
    f"{QUEUE}/figures.py:resume": "pause_and_resume",
    f"{QUEUE}/retention.py:forget": "forget",
}
ELSEWHERE = {
    f"{QUEUE}/leased.py:Leased.push": "Huey's own API does that, and is met in `test_huey_kill_points.py`",
    f"{QUEUE}/contents.py:run_now": "a tool of tests",
}


def test_every_call_that_changes_redis_has_a_point_at_which_somebody_is_killed(ctx: Flask) -> None:
    store: Any = redis.client()
    changes = {site for site in changing(store.command()) if not site.startswith(f"{QUEUE}/leased_huey/")}
    met = {point.site for point in (*WORKERS, *ENQUEUERS)} - {"the task"} | set(CALLS) | set(ELSEWHERE)
    assert changes - met == set(), "add a point at which somebody is killed"
    assert met - changes == set(), "there is no such call any more"


@pytest.fixture(scope="module")
def killing_ground(servers: TestServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    environ = {**os.environ, **install(tmp_path_factory.mktemp("plugin"), "chores", tasks=TASKS)}
    with opened("killing_ground", {**environ, "WORKER_CONCURRENCY": str(SIZE)}) as ground:
        yield ground


@pytest.fixture
def ground(ctx: Flask, killing_ground: Ground) -> Ground:
    return killing_ground


def some(first: int) -> list[int]:
    """A few jobs of each kind, in one transaction; the last of them never succeeds."""
    with unit():
        for number in range(first, first + 4):
            enqueue("chores.note", number=number)
        enqueue("chores.stumble", number=first + 4)
        enqueue("chores.alone", number=first + 5)
        for number in range(first + 6, first + 9):
            enqueue("chores.one_by_one", number=number)
        enqueue_in(0.3, "chores.note", number=first + 9)
        enqueue("chores.show", number=first + 10)
        enqueue("chores.fail", number=first + 11)
        chain = list(range(first + 12, first + 15))
        enqueue_chain(*(step(f"chores.{name}", number=each) for name, each in zip(CHAIN, chain, strict=True)))
        group = [first + 15, first + 16]
        members = [step("chores.note", number=group[0]), step("chores.stumble", number=group[1])]
        enqueue_group(members, then=step("chores.bind", number=first + 17, after=group).given("results"))
    return [*range(first, first + 11), *chain, *group, first + 17]


def in_order() -> bool:
    """Whether each chain went step by step, and nothing that follows a group was early."""
    store: Any = redis.client()
    found = [int(each) for each in store.lrange("chores:done", 0, -1)]
    chains = [[found.index(first + at) for at in (12, 13, 14)] for first in found if first % 34 == 0]
    return store.llen("chores:early") == 0 and all(each == sorted(each) for each in chains)


def done() -> Counter[int]:
    store: Any = redis.client()
    return Counter(int(each) for each in store.lrange("chores:done", 0, -1))


def test_whoever_runs_jobs_may_be_killed_at_any_call(ground: Ground) -> None:
    wanted: list[int] = []
    kills = 0
    for point in WORKERS:
        for nth in point.calls:
            for before in (True, False):
                wanted += some(len(wanted) * 2)
                came = ground(point.role, point.site, nth, before)
                assert came == -signal.SIGKILL, f"{point} was not met at call {nth}, {before=}: {came}"
                kills += 1
    assert ground("idle_worker") == 0
    found = done()
    assert set(found) == set(wanted), "each is done"
    assert found.total() - len(wanted) <= kills * SIZE, "twice at most what was running at a kill"
    assert figures("default").dead == kills and len(list(dead.letters("default"))) == kills
    assert nothing_is_left() and in_order()
    store: Any = redis.client()
    assert {store.hget(key, "state") for key in store.keys("pb:q:{default}:h:*")} == {b"done"}, "stories end too"


def test_whoever_finds_a_job_dead_may_be_killed_and_it_has_failed_once(ground: Ground) -> None:
    finders = [(f"{QUEUE}/leased.py:Leased.reap", 1), (f"{QUEUE}/leased.py:Leased.step", 2)]
    for site, nth in finders:
        for before in (True, False):
            enqueue("chores.note", number=1)
            assert ground("worker", "the task") == -signal.SIGKILL
            assert ground("worker", site, nth, before, stalls=0) == -signal.SIGKILL
            assert ground("idle_worker", stalls=0) == 0
    many = 2 * len(finders)
    assert [each.error for each in ended("default", "failed")] == [dead.STALLED] * many
    assert (figures("default").failed, figures("default").dead) == (many, many)
    assert done() == {} and nothing_is_left()
    for letter in list(dead.letters("default")):
        assert dead.replay(letter)
    assert ground("idle_worker") == 0
    assert done() == {1: many}


def test_whoever_enqueues_may_be_killed_at_any_call(ground: Ground) -> None:
    wanted: list[int] = []
    for point in ENQUEUERS:
        for before in (True, False):
            numbers = list(range(len(wanted), len(wanted) + 5))
            assert ground(point.role, point.site, 1, before, numbers=numbers) == -signal.SIGKILL
            wanted += numbers
    outbox.sweep(settled=NOW)
    assert ground("idle_worker") == 0
    assert done() == Counter(wanted), "each once: what is handed over twice is put on the queue once"
    assert nothing_is_left()


@pytest.mark.parametrize(("site", "name"), CALLS.items())
def test_one_who_is_killed_leaves_a_call_done_or_not_begun(ground: Ground, site: str, name: str) -> None:
    some(0)
    assert ground("idle_worker") == 0
    for before in (True, False):
        key = f"pb:-:chores:{before}"
        assert ground("call", site, 1, before, call=name, key=key) == -signal.SIGKILL
        if name == "hold_lease":
            assert ground("call", call="hold_lease_soon", key=key) == 0, "it lapses with whoever held it"
        places = [len(list(place("default"))) for place in (contents.waiting, contents.dead)]
        if name == "replay":
            assert places == ([0, 1] if before else [1, 0])
        elif name == "count":
            assert places[0] == (0 if before else 1)
            assert ground("call", call=name, key=key) == 0
            assert len(list(contents.waiting("default"))) == 1, "counted twice it begins once all the same"
            assert ground("idle_worker") == 0
        elif name in ("discard", "forget"):
            assert places == ([0, 1] if before else [0, 0])
    if name == "pause_and_resume":
        assert ground("call", call=name) == 0 and not figures("default").paused
    assert ground("idle_worker") == 0


def nothing_is_left() -> bool:
    """Not a job, a lease, or a seat at a gate."""
    store: Any = redis.client()
    places = (b"p", b"g", b"w", b"z", b"gate_lengths", b"rate_lengths")
    held = [key for key in store.keys("pb:q:{default}:*") if key.split(b":")[3] in places]
    now = figures("default")
    assert (now.waiting, now.delayed, now.active, now.workers) == (0, 0, 0, 0)
    assert held == [], "nobody holds a lease, or a seat"
    return True
