"""20,000 jobs, three workers, fifty kills; 3,000 jobs and a Valkey that is killed: each is done, few are done twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from flask import Flask
from job_kills import SIZE, TASKS, killing, left
from redis.exceptions import RedisError
from throwaway import eventually, install

from core.background.queue import contents
from core.background.queue.leased import LEASE
from core.background.tasks import enqueue
from core.data import DEFAULT, acting_in, redis, sweeping, unit
from core.ops.embedded import start
from core.ops.processes import Process


@pytest.mark.timeout(900)
def test_every_job_is_done_however_often_its_workers_are_killed(
    process: Callable[..., Process], ctx: Flask, tmp_path: Path
) -> None:
    came = killing(process, tmp_path, jobs=20_000, kills=50, workers=3)
    assert set(came.done) == set(range(20_000))
    twice = sum(came.done.values()) - 20_000
    print(f"{twice} of 20,000 were done twice, {came.recovered:.1f} s after the last kill nothing was left")
    assert twice <= came.held
    assert list(contents.dead()) == []
    assert came.recovered < LEASE + 5 + 60, "and the rest of the jobs, which take their time"


@pytest.mark.timeout(300)
def test_every_job_is_done_however_often_valkey_is_killed(
    make_board: Callable[..., Flask], board: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = start(tmp_path / "valkey", durable=True, only=("valkey",))
    assert own.valkey
    monkeypatch.setenv("REDIS_URL", own.valkey.url)
    environ = install(tmp_path, "chores", tasks=TASKS)
    crew = [Process("worker", {**environ, "WORKER_CONCURRENCY": str(SIZE)}) for _ in range(2)]
    dice = Random(5)
    try:
        for worker in crew:
            worker.wait_ready()
        with make_board("web").app_context(), acting_in(DEFAULT):
            for begin in range(0, 3000, 100):
                with unit():
                    for number in range(begin, begin + 100):
                        enqueue("chores.note", number=number)
            for _ in range(8):
                time.sleep(dice.uniform(0.1, 0.5))
                own.valkey.kill()
                time.sleep(0.2)
                own.valkey.start()
            eventually(_all_done, 120)
            store: Any = redis.client()
            done = Counter(int(each) for each in store.lrange("chores:done", 0, -1))
        assert set(done) == set(range(3000))
        assert sum(done.values()) - 3000 <= 8 * 2 * SIZE
    finally:
        for worker in crew:
            worker.kill()
        own.stop()


def _all_done() -> bool:
    try:
        sweeping.sweep(settled=timedelta(0))
        return left() == 0
    except RedisError:
        return False
