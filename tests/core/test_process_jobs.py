"""Jobs in processes of their own, on a real worker: what they compute, and how they end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask
from throwaway import eventually, install

from core.background.queue import contents
from core.background.tasks import enqueue
from core.data import redis
from core.ops.processes import Process

StartProcess = Callable[..., Process]

TASKS = """\
    import ctypes
    import hashlib
    import os
    import re
    import sys
    import time
    from gevent import monkey
    from core.background import task
    from core.background.queue import children, consumer
    from core.data import redis
    from core.data.unit import in_steps
    from core.trust import public

    consumer.FINISH = 1
    children.IDLE = 1.0

    def say(word):
        redis.client().rpush("chores:notes", word)

    @task(queue="images", kind="process", retry_delay=0.01)
    @public
    @in_steps
    def compute(seconds: float) -> None:
        say(f"begun {os.getpid()}")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        say("computed")

    @task(queue="images", kind="process")
    @public
    @in_steps
    def tell() -> None:
        say("patched" if monkey.is_module_patched("time") else "plain")

    @task(queue="images", kind="process", timeout=1, retries=0)
    @public
    @in_steps
    def late(how: str) -> None:
        say(how)
        if how == "computes":
            while True:
                try:
                    time.time()
                except BaseException:
                    pass
        elif how == "waits in C":
            ctypes.CDLL(None).sleep(600)
        elif how == "calls":
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2**31 - 1)  # which lets others at Python meanwhile
        else:
            re.match("(a|aa)+$", "a" * 200 + "b")  # which does not

    @task(queue="images", kind="process", retries=0)
    @public
    @in_steps
    def crash(how: str) -> None:
        if how == "faults":
            ctypes.string_at(1)
        sys.exit(3)

    @task(queue="quick")
    @public
    @in_steps
    def tick() -> None:
        say("tick")
    """


@pytest.fixture
def chores(ctx: Flask, tmp_path: Path) -> dict[str, str]:
    return install(tmp_path, "chores", tasks=TASKS)


def notes() -> list[str]:
    found: Any = redis.client().lrange("chores:notes", 0, -1)
    return [note.decode() for note in found]


def runners() -> list[int]:
    """The processes that have begun to compute, in their order."""
    return [int(note.partition(" ")[2]) for note in notes() if note.startswith("begun")]


def told_of_dead() -> list[str]:
    return [json.loads(told)["error"] for _, told in contents.dead("images")]


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


def descendants(worker: Process) -> list[int]:
    return [each.pid for each in psutil.Process(worker.pid).children(recursive=True)]


@pytest.mark.parametrize("how", ["computes", "waits in C", "calls", "clings"])
def test_a_job_past_its_time_is_killed_and_the_worker_goes_on(
    process: StartProcess, chores: dict[str, str], how: str
) -> None:
    worker = process("worker", **chores)
    enqueue("chores.late", how=how)
    eventually(lambda: notes() == [how])
    began, ticks = time.monotonic(), 0
    while not list(contents.dead("images")):
        enqueue("chores.tick")
        ticks += 1
        eventually(lambda: notes().count("tick") == ticks, 1)  # noqa: B023 - it waits here
        assert time.monotonic() - began < 10
    assert time.monotonic() - began < 3
    assert told_of_dead() == ["JobTimeout: it took longer than 1 s"]
    assert ticks > 3, "others were done meanwhile"
    enqueue("chores.tell")
    eventually(lambda: notes()[-1] == "plain")
    assert worker.stop() == 0, worker.log()
    assert "Traceback" not in worker.log()


def test_two_seats_compute_at_once(process: StartProcess, chores: dict[str, str]) -> None:
    process("worker", WORKER_QUEUES="images:2,default", **chores)
    for _ in range(3):
        enqueue("chores.compute", seconds=0.4)
    eventually(lambda: len(runners()) == 2)
    assert "computed" not in notes()
    eventually(lambda: notes().count("computed") == 3)
    assert len(set(runners())) == 2, "the third took a seat that was there"


@pytest.mark.parametrize(
    ("how", "told"), [("faults", "its process ended by signal 11"), ("leaves", "its process ended with status 3")]
)
def test_a_process_that_ends_has_failed(process: StartProcess, chores: dict[str, str], how: str, told: str) -> None:
    worker = process("worker", **chores)
    enqueue("chores.crash", how=how)
    eventually(lambda: told_of_dead() == [f"ProcessEnded: {told}"])
    assert told in worker.log()


def test_a_process_that_is_killed_has_failed_and_its_job_is_tried_again(
    process: StartProcess, chores: dict[str, str]
) -> None:
    worker = process("worker", WORKER_QUEUES="images:1,default", **chores)
    enqueue("chores.compute", seconds=0.5)
    os.kill(eventually(runners)[0], signal.SIGKILL)
    eventually(lambda: "computed" in notes())
    assert len(set(runners())) == 2
    assert "ProcessEnded: its process ended by signal 9" in worker.log()


def test_a_killed_worker_leaves_no_orphans_and_its_job_runs_again(
    process: StartProcess, chores: dict[str, str]
) -> None:
    worker = process("worker", **chores)
    enqueue("chores.compute", seconds=2.0)
    eventually(runners)
    orphans = descendants(worker)
    assert len(orphans) == 2, "the template and a child"
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: gone(orphans), 2)
    assert "computed" not in notes()
    other = process("worker", **chores)
    eventually(lambda: "computed" in notes(), 25)
    assert "stalled" in other.log()


def test_a_worker_that_ends_gives_back_what_does_not_finish(process: StartProcess, chores: dict[str, str]) -> None:
    worker = process("worker", WORKER_QUEUES="images:2,default", **chores)
    enqueue("chores.compute", seconds=0.5)
    enqueue("chores.compute", seconds=60)
    eventually(lambda: len(runners()) == 2)
    helpers = descendants(worker)
    for pid in [worker.pid, *helpers]:  # as platforms do
        os.kill(pid, signal.SIGTERM)
    assert worker.ended() == 0, worker.log()
    assert gone(helpers)
    assert notes().count("computed") == 1
    assert [len(list(place("images"))) for place in (contents.waiting, contents.leased)] == [1, 0]
    assert "job goes back to the queue" in worker.log()


def test_processes_without_work_leave(process: StartProcess, chores: dict[str, str]) -> None:
    worker = process("worker", **chores)
    for _ in range(2):
        enqueue("chores.tell")
        eventually(lambda: descendants(worker))
        eventually(lambda: not descendants(worker))
    assert notes() == ["plain"] * 2


def test_what_a_child_logs_says_whose_it_is(process: StartProcess, chores: dict[str, str]) -> None:
    worker = process("worker", **chores)
    enqueue("chores.tell")
    eventually(lambda: "job done" in worker.log())
    [line] = [json.loads(line) for line in worker.log().splitlines() if "job done" in line]
    assert line["plugin"] == "chores"
    assert line["request_id"]
    assert line["tenant"]
