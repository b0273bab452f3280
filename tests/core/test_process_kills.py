"""Workers, templates and children that are killed again and again, at whatever they are doing."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
from flask import Flask
from throwaway import eventually, install

from core.background.queue import contents
from core.background.tasks import enqueue
from core.data import redis
from core.data.unit import unit
from core.ops.processes import Process

TASKS = """\
    import time
    from core.background import task
    from core.data import redis
    from core.data.unit import in_steps
    from core.trust import public

    @task(queue="images", kind="process", retries=20, backoff=lambda attempt: 0.01)
    @public
    @in_steps
    def note(number: int) -> None:
        time.sleep(0.02)
        while redis.client().llen("chores:done") >= int(redis.client().get("chores:quota")):
            time.sleep(0.01)
        redis.client().rpush("chores:done", number)
    """
JOBS, KILLS, SIZE = 200, 6, 3


@pytest.mark.timeout(180)
def test_every_job_is_done_whatever_is_killed(process: Callable[..., Process], ctx: Flask, tmp_path: Path) -> None:
    environ = install(tmp_path, "chores", tasks=TASKS)
    crew = [process("worker", WORKER_QUEUES=f"images:{SIZE},default", **environ) for _ in range(2)]
    store: Any = redis.client()
    store.set("chores:quota", 0)
    with unit():
        for number in range(JOBS):
            enqueue("chores.note", number=number)
    dice = Random(7)
    for kill in range(KILLS):
        # A worker takes a second to come back and make processes again: the next is struck while it works.
        done = JOBS // (KILLS + 1) * kill
        store.set("chores:quota", done + JOBS // (KILLS + 1))
        eventually(lambda: store.llen("chores:done") >= done + 5)  # noqa: B023 - it waits here
        worker = dice.choice(crew)
        _strike(worker, ("child", "template", "worker")[kill % 3])
    store.set("chores:quota", JOBS * 2)
    eventually(lambda: not left(), 60)
    found = Counter(int(each) for each in store.lrange("chores:done", 0, -1))
    assert set(found) == set(range(JOBS))
    assert sum(found.values()) - JOBS <= KILLS * SIZE, "twice at most what was running at a kill"
    assert list(contents.dead("images")) == []


def _strike(worker: Process, whom: str) -> None:
    templates = psutil.Process(worker.pid).children()
    children = [child for template in templates for child in template.children()]
    victims = {"child": children, "template": templates}.get(whom)
    if victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victims[-1].kill()
        return
    os.kill(worker.pid, signal.SIGKILL)
    worker.ended()
    worker.start()


def left() -> int:
    places = (contents.waiting, contents.leased, contents.scheduled)
    return sum(1 for queue in ("images", "default") for place in places for _ in place(queue))
