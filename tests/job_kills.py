"""Workers that are killed again and again while they run jobs; what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from throwaway import eventually, install

from core.background.queue import contents
from core.background.queue.keys import Keys
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

    @task()
    @public
    @in_steps
    def note(number: int) -> None:
        store = redis.client()
        store.rpush("chores:begun", number)
        time.sleep(0.005)
        while store.llen("chores:done") >= int(store.get("chores:quota") or 10**9):
            time.sleep(0.01)
        store.rpush("chores:done", number)
    """
SIZE = 5
"""Jobs that a worker runs at once."""


class Came(NamedTuple):
    """How often each job was done; how many jobs the killed held; seconds from the last kill until nothing was left."""

    done: Counter[int]
    held: int
    recovered: float


def killing(
    process: Callable[..., Process], folder: Path, *, jobs: int, kills: int, workers: int = 2, seed: int = 7
) -> Came:
    environ = install(folder, "chores", tasks=TASKS)
    crew = [process("worker", WORKER_CONCURRENCY=str(SIZE), **environ) for _ in range(workers)]
    dice = Random(seed)
    store: Any = redis.client()
    store.set("chores:quota", 0)
    for start in range(0, jobs, 500):
        with unit():
            for number in range(start, min(start + 500, jobs)):
                enqueue("chores.note", number=number)
    held = 0
    for kill in range(1, kills + 1):
        # However slowly we come to it, there is something left to be killed at.
        store.set("chores:quota", jobs * kill // (kills + 1))
        time.sleep(dice.uniform(0.05, 0.4))
        victim = dice.choice(crew)
        pid = victim.pid
        victim.kill()
        held += held_by(pid)
        victim.start()
    store.set("chores:quota", jobs * 2)
    last = time.monotonic()
    eventually(lambda: left() == 0, 120)
    found = Counter(int(each) for each in store.lrange("chores:done", 0, -1))
    return Came(found, held, time.monotonic() - last)


def held_by(pid: int, queue: str = "default") -> int:
    """How many jobs the process with this number holds leases of."""
    store: Any = redis.client()
    keys = Keys(queue)
    names = [name.decode() for name in store.zrange(keys.procs, 0, -1)]
    return sum(store.hlen(keys.leases(name)) for name in names if name.split(".")[1] == str(pid))


def left() -> int:
    return sum(1 for place in (contents.waiting, contents.leased, contents.scheduled) for _ in place())
