"""Whoever uses Huey's own API may be killed at any call to Redis: the points are found in the code, and met here.

What is true afterwards: each task is done, at most those twice that were running, its result and what follows is there
once, nothing is held by the dead; a call of the storage is done, or not begun.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from grounds import Ground, opened
from huey.exceptions import TaskException
from huey_points import (
    ADOPTER,
    CALLS,
    HERE,
    HOLDERS,
    QUEUE,
    RUNNERS,
    STEP,
    Wanted,
    all_is_done,
    done,
    done_or_not_begun,
    nothing_is_left,
)
from huey_shop import note, shop
from redis_sites import changing
from throwaway import eventually

from core.background.queue.figures import figures
from core.data import redis
from core.ops.testing import TestServers

MOMENTS = ("before", "after")


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


def test_whoever_runs_tasks_may_be_killed_at_any_call(ground: Ground) -> None:
    wanted = Wanted()
    kills = 0
    for point in RUNNERS:
        for nth in point.calls:
            for moment in MOMENTS:
                wanted.some()
                came = ground(point.role, point.site, nth, moment)
                assert came == -signal.SIGKILL, f"{point} was not met at call {nth}, {moment=}: {came}"
                kills += 1
    assert ground("idle_consumer") == 0
    all_is_done(wanted, kills, kills)


def test_a_task_that_was_never_on_the_queue_is_ours_or_was_not_begun(ground: Ground) -> None:
    kills = [(site, moment) for site in (ADOPTER, STEP) for moment in MOMENTS]
    for number, (site, moment) in enumerate(kills):
        assert ground("executor", site, 1, moment, number=number) == -signal.SIGKILL
    assert ground("idle_consumer") == 0
    assert done() == {1: 1, 2: 2, 3: 1}, "somebody else did what was leased and not settled"
    assert nothing_is_left()


def test_whoever_finds_a_task_dead_may_be_killed_and_those_who_wait_are_told(ground: Ground) -> None:
    finders = [(f"{QUEUE}/leased.py:Leased.reap", 1), (STEP, 2)]
    results = []
    for site, nth in finders:
        for moment in MOMENTS:
            results.append(note(1))
            assert ground("consumer", "the task") == -signal.SIGKILL
            assert ground("consumer", site, nth, moment, stalls=0) == -signal.SIGKILL
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
    kills = [(point, moment) for point in HOLDERS for moment in MOMENTS]
    for number, (point, moment) in enumerate(kills):
        assert ground(point.role, point.site, 1, moment, lock=f"lock {number}") == -signal.SIGKILL
    assert not shop.is_locked("lock 0"), "nobody ever had it"
    assert not shop.is_locked(f"lock {len(kills) - 1}"), "it was let go"
    for number in range(len(kills)):
        eventually(lambda lock=f"lock {number}": not shop.is_locked(lock))
    assert ground("holder", lock="lock 1") == 0, "and can be had"


def test_periodic_tasks_are_enqueued_once_a_minute_whoever_is_killed(ground: Ground) -> None:
    noon = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - Huey's times have no zone
    for minute, moment in enumerate(MOMENTS):
        at = (noon + timedelta(minutes=minute)).isoformat()
        assert ground("scheduler", f"{QUEUE}/leased.py:Leased.push", 1, moment, at=at) == -signal.SIGKILL
        assert shop.pending_count() == (0 if moment == "before" else 2)
        for _ in range(2):
            assert ground("scheduler", at=at) == 0
        assert shop.pending_count() == minute + 1


@pytest.mark.parametrize("site", CALLS)
def test_one_who_is_killed_leaves_a_call_done_or_not_begun(ground: Ground, site: str) -> None:
    def kill(*order: Any, **more: Any) -> int:
        came = ground(*order, **more)
        assert came == -signal.SIGKILL
        return came

    for moment in MOMENTS:
        done_or_not_begun(ground, kill, site, moment)
