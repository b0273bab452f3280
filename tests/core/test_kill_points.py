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
from grounds import Ground, opened
from handover import NOW
from kill_points import (
    CALLS,
    ELSEWHERE,
    ENQUEUERS,
    QUEUE,
    SIZE,
    TASKS,
    WORKERS,
    all_is_done,
    done,
    done_or_not_begun,
    nothing_is_left,
    schedule,
    some,
)
from redis_sites import changing
from throwaway import install

from core.background.queue import dead
from core.background.queue.figures import ended, figures
from core.background.tasks import enqueue
from core.data import redis, sweeping
from core.ops.testing import TestServers


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


def test_whoever_runs_jobs_may_be_killed_at_any_call(ground: Ground) -> None:
    wanted: list[int] = []
    kills = 0
    for point in WORKERS:
        for nth in point.calls:
            for moment in ("before", "after"):
                wanted += some(len(wanted) * 2)
                came = ground(point.role, point.site, nth, moment)
                assert came == -signal.SIGKILL, f"{point} was not met at call {nth}, {moment=}: {came}"
                kills += 1
    assert ground("idle_worker") == 0
    all_is_done(wanted, kills, kills)


def test_whoever_finds_a_job_dead_may_be_killed_and_it_has_failed_once(ground: Ground) -> None:
    finders = [(f"{QUEUE}/leased.py:Leased.reap", 1), (f"{QUEUE}/leased.py:Leased.step", 2)]
    for site, nth in finders:
        for moment in ("before", "after"):
            enqueue("chores.note", number=1)
            assert ground("worker", "the task") == -signal.SIGKILL
            assert ground("worker", site, nth, moment, stalls=0) == -signal.SIGKILL
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
        for moment in ("before", "after"):
            numbers = list(range(len(wanted), len(wanted) + 5))
            if point.role == "scheduler":
                schedule(numbers)
            assert ground(point.role, point.site, 1, moment, numbers=numbers) == -signal.SIGKILL
            wanted += numbers
    assert ground("scheduler") == 0, "a tick that was not fired is fired by another"
    sweeping.sweep(settled=NOW)
    assert ground("idle_worker") == 0
    assert done() == Counter(wanted), "each once: what is handed over twice is put on the queue once"
    assert nothing_is_left()


@pytest.mark.parametrize("site", CALLS)
def test_one_who_is_killed_leaves_a_call_done_or_not_begun(ground: Ground, site: str) -> None:
    def kill(*order: Any, **more: Any) -> int:
        came = ground(*order, **more)
        assert came == -signal.SIGKILL
        return came

    for moment in ("before", "after"):
        done_or_not_begun(ground, kill, site, moment)
