"""Jobs that keep gevent's loop from turning for longer than a lease, and workers that end in the middle of one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from throwaway import eventually, install

from core.background.queue import contents
from core.background.tasks import enqueue
from core.data import redis
from core.ops.processes import Process

TASKS = """\
    import hashlib
    import re
    import time
    from core.background import task
    from core.background.queue import consumer, leased, watchdog
    from core.data import redis
    from core.data.unit import in_steps
    from core.trust import public

    leased.LEASE = 2.0  # of this worker: as long as the jobs below need to outlast it
    consumer.FINISH = 1
    watchdog.GRACE = 1.0
    watchdog.DEAF = 2.0

    @task()
    @public
    @in_steps
    def compute(seconds: float) -> None:
        redis.client().rpush("chores:notes", "begun")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        redis.client().rpush("chores:notes", "computed")

    @task()
    @public
    @in_steps
    def rest(seconds: float) -> None:
        redis.client().rpush("chores:notes", "begun")
        time.sleep(seconds)
        redis.client().rpush("chores:notes", "rested")

    @task(timeout=1, retries=0)
    @public
    @in_steps
    def late(how: str) -> None:
        redis.client().rpush("chores:notes", how)
        if how == "waits":
            time.sleep(60)
        elif how == "computes":
            while True:
                pass
        elif how == "calls":
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2**31 - 1)  # which lets others at Python meanwhile
        else:
            re.match("(a|aa)+$", "a" * 200 + "b")  # which does not

    @task(timeout=1, retries=1, retry_delay=0.1)
    @public
    @in_steps
    def late_again() -> None:
        while True:
            pass
    """


def notes() -> list[bytes]:
    found: Any = redis.client().lrange("chores:notes", 0, -1)
    return list(found)


@pytest.fixture
def chores(ctx: Flask, tmp_path: Path) -> dict[str, str]:
    return install(tmp_path, "chores", tasks=TASKS)


def test_a_job_that_never_lets_the_loop_turn_runs_once(process: Callable[..., Process], chores: dict[str, str]) -> None:
    workers = [process("worker", **chores) for _ in range(2)]
    enqueue("chores.compute", seconds=5.0)
    eventually(lambda: b"computed" in notes())
    eventually(lambda: not list(contents.leased()))
    time.sleep(0.5)
    assert notes() == [b"begun", b"computed"], "neither worker took the other for dead"
    for worker in workers:
        assert "stalled" not in worker.log()


def test_a_job_that_does_not_finish_in_time_goes_back(process: Callable[..., Process], chores: dict[str, str]) -> None:
    worker = process("worker", **chores)
    enqueue("chores.rest", seconds=30.0)
    eventually(lambda: notes() == [b"begun"])
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.ended(25) == 0, worker.log()
    assert [len(list(place())) for place in (contents.waiting, contents.leased)] == [1, 0]
    assert "job goes back to the queue" in worker.log()


@pytest.mark.parametrize("how", ["waits", "computes"])
def test_a_job_past_its_time_is_stopped_and_the_worker_goes_on(
    process: Callable[..., Process], chores: dict[str, str], how: str
) -> None:
    worker = process("worker", WORKER_CONCURRENCY="2", **chores)
    enqueue("chores.late", how=how)
    eventually(lambda: len(list(contents.dead())) == 1)
    [(_, told)] = contents.dead()
    assert b"JobTimeout: it took longer than 1 s" in told
    enqueue("chores.rest", seconds=0.0)
    eventually(lambda: notes()[-1:] == [b"rested"])
    assert worker.stop() == 0, worker.log()


def test_each_attempt_that_computes_past_its_time_is_stopped_and_none_ends_the_worker(
    process: Callable[..., Process], chores: dict[str, str]
) -> None:
    worker = process("worker", **chores)
    enqueue("chores.late_again")
    eventually(lambda: len(list(contents.dead())) == 1)
    assert worker.log().count("JobTimeout: it took longer than") >= 2
    assert worker.stop() == 0, worker.log()


@pytest.mark.parametrize(("how", "status"), [("calls", 70), ("clings", 1)])
def test_one_that_does_not_come_back_takes_the_worker_with_it_and_others_go_on(
    process: Callable[..., Process], chores: dict[str, str], how: str, status: int
) -> None:
    worker = process("worker", **chores)
    enqueue("chores.late", how=how)
    eventually(lambda: notes() == [how.encode()])
    assert worker.ended() == status, worker.log()
    worker.start()
    eventually(lambda: notes()[-2:] == [how.encode()] * 2)  # it is tried again, for it did not fail: its worker ended
    worker.kill()
