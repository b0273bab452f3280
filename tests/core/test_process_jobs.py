"""Jobs in processes of their own, on a real worker: what they compute, and how they end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask
from throwaway import eventually, install

from core.background.queue import contents
from core.background.queue.children import Child, Children, NoChild
from core.background.queue.outside import Outside
from core.background.tasks import enqueue
from core.data import redis
from core.data.models import new_id
from core.data.outbox import Envelope
from core.data.tenancy import DEFAULT
from core.ops.processes import Process
from core.telemetry import exposition, log_context

StartProcess = Callable[..., Process]

TASKS = """\
    import ctypes
    import hashlib
    import os
    import re
    import subprocess
    import sys
    import time
    from gevent import monkey
    from core.background import task
    from core.background.queue import children, consumer
    from core.data import db, redis
    from core.data.unit import in_steps
    from core.trust import public

    consumer.FINISH = float(os.environ.get("FINISH", 1))
    children.IDLE = float(os.environ.get("IDLE", 60))
    children.DYING = float(os.environ.get("DYING", 5))
    children.BOOT = float(os.environ.get("BOOT", 60))
    hangs = os.environ.get("FIRST_HANGS")
    if hangs and "core.worker_child" in sys.orig_argv and not os.path.exists(hangs):
        open(hangs, "w").close()
        time.sleep(600)  # as where a name server does not answer

    def say(word):
        redis.client().rpush("chores:notes", word)

    @task(queue="images", kind="process", retry_delay=0.01)
    @public
    @in_steps
    def compute(endless: bool = False) -> None:
        say(f"begun {os.getpid()}")
        while endless or not redis.client().exists("chores:go_on"):
            pass
        say("computed")

    @task(queue="images", kind="process")
    @public
    @in_steps
    def tell() -> None:
        say(f"{'patched' if monkey.is_module_patched('time') else 'plain'}, a pool of {db.engine.pool.size()}")

    @task(queue="images", kind="process", timeout=1.5, retries=0)
    @public
    @in_steps
    def late(how: str) -> None:
        say(f"begun {os.getpid()}")
        if how == "computes":
            while True:
                try:
                    time.time()
                except BaseException:
                    pass
        elif how == "starts another":
            other = subprocess.Popen(["sleep", "600"])
            say(f"begun {other.pid}")
            other.wait()
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
        elif how == "exits":
            sys.exit(3)
        os._exit(3)

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


def go_on() -> None:
    """Let jobs that compute come to their end."""
    redis.client().set("chores:go_on", 1)


def runners() -> list[int]:
    """The processes in which jobs have begun, in their order."""
    return [int(note.partition(" ")[2]) for note in notes() if note.startswith("begun")]


def told_of_dead() -> list[str]:
    return [json.loads(told)["error"] for _, told in contents.dead("images")]


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def test_jobs_past_their_time_are_killed_and_others_go_on(process: StartProcess, chores: dict[str, str]) -> None:
    ways = ["computes", "waits in C", "calls", "clings", "starts another"]
    worker = process("worker", WORKER_QUEUES="images:5,quick,default", **chores)
    for how in ways:
        enqueue("chores.late", how=how)
    eventually(lambda: len(runners()) == len(ways) + 1)
    ticks, family = 0, below(worker.pid)
    assert {each.pid for each in family} >= set(runners())
    while len(list(contents.dead("images"))) < len(ways):
        enqueue("chores.tick")
        ticks += 1
        eventually(lambda: notes().count("tick") == ticks)  # noqa: B023 - it waits here
    assert set(told_of_dead()) == {"JobTimeout: it took longer than 1.5 s"}
    assert ticks > 1, "others were done meanwhile"
    enqueue("chores.tell")
    eventually(lambda: notes()[-1] == "plain, a pool of 2")
    assert worker.stop() == 0, worker.log()
    assert gone(family), "with what they had started"
    assert "Traceback" not in worker.log()


def test_two_seats_compute_at_once(process: StartProcess, chores: dict[str, str]) -> None:
    process("worker", WORKER_QUEUES="images:2,default", **chores)
    for _ in range(3):
        enqueue("chores.compute")
    eventually(lambda: len(runners()) == 2)
    go_on()
    eventually(lambda: notes().count("computed") == 3)
    assert len(set(runners())) == 2, "the third took a seat that was there"


def test_a_process_that_ends_has_failed(process: StartProcess, chores: dict[str, str]) -> None:
    worker = process("worker", WORKER_QUEUES="images:1,default", **chores)
    enqueue("chores.crash", how="faults")
    enqueue("chores.crash", how="leaves")
    enqueue("chores.crash", how="exits")
    ends = ["its process ended by signal 11", "its process ended with status 3"]
    eventually(lambda: set(told_of_dead()) == {"SystemExit: 3", *(f"ProcessEnded: {each}" for each in ends)})
    assert all(each in worker.log() for each in ends)


def test_one_that_is_killed_has_failed_and_its_job_is_tried_again(
    process: StartProcess, chores: dict[str, str]
) -> None:
    worker = process("worker", WORKER_QUEUES="images:1,default", **chores)
    enqueue("chores.compute")
    [first] = eventually(runners)
    template = psutil.Process(first).parent()
    assert template
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(runners()) == 2)
    template.kill()
    eventually(lambda: len(runners()) == 3)
    go_on()
    eventually(lambda: "computed" in notes())
    assert len(set(runners())) == 3
    assert notes().count("computed") == 1
    assert "ProcessEnded: its process ended by signal 9" in worker.log()
    assert "Traceback" not in worker.log()


def test_a_template_that_does_not_answer_is_given_up(process: StartProcess, chores: dict[str, str]) -> None:
    worker = process("worker", DYING="0.5", **chores)
    enqueue("chores.late", how="starts another")
    eventually(lambda: len(runners()) == 2)
    [template, child, other] = family = below(worker.pid)
    assert other.parent() == child
    assert child.parent() == template
    template.suspend()
    eventually(lambda: told_of_dead() == ["JobTimeout: it took longer than 1.5 s"])
    eventually(lambda: gone(family))
    enqueue("chores.tell")
    eventually(lambda: notes()[-1] == "plain, a pool of 2")


def test_a_template_that_hangs_at_boot_is_killed_and_the_next_job_gets_another(
    process: StartProcess, chores: dict[str, str], tmp_path: Path
) -> None:
    hung = tmp_path / "hung"
    worker = process("worker", BOOT="6", FIRST_HANGS=str(hung), **chores)
    enqueue("chores.tell")
    eventually(hung.exists)
    [template] = below(worker.pid)
    eventually(lambda: gone([template]))
    eventually(lambda: notes() == ["plain, a pool of 2"])


def test_a_job_for_which_no_process_can_be_had_waits(ctx: Flask, worker_app: Flask) -> None:
    class Childless(Children):
        def take(self) -> Child:
            raise NoChild("the template made none")

    envelope = Envelope(id=new_id(), kind="task", name="shelf.count", payload={}, tenant_id=DEFAULT.id)
    with worker_app.app_context():
        outcome = Outside(Childless()).attempt(envelope, worker_app)
    assert outcome.what == "waiting"
    assert outcome.again is not None
    assert outcome.again.attempt == envelope.attempt, "that does not count"


def test_a_killed_worker_leaves_no_orphans_and_its_job_runs_again(
    process: StartProcess, chores: dict[str, str]
) -> None:
    worker = process("worker", **chores)
    enqueue("chores.compute")
    eventually(runners)
    orphans = below(worker.pid)
    assert len(orphans) == 2, "the template and a child"
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: gone(orphans))
    go_on()
    other = process("worker", **chores)
    eventually(lambda: "computed" in notes())
    assert notes().count("computed") == 1
    assert "stalled" in other.log()


def test_a_worker_that_ends_gives_back_what_does_not_finish(process: StartProcess, chores: dict[str, str]) -> None:
    worker = process("worker", WORKER_QUEUES="images:2,default", FINISH="3", **chores)
    enqueue("chores.compute")
    enqueue("chores.compute", endless=True)
    eventually(lambda: len(runners()) == 2)
    helpers = below(worker.pid)
    for pid in [worker.pid, *(each.pid for each in helpers)]:  # as platforms do
        os.kill(pid, signal.SIGTERM)
    go_on()
    assert worker.ended() == 0, worker.log()
    assert gone(helpers)
    assert notes().count("computed") == 1
    assert [len(list(place("images"))) for place in (contents.waiting, contents.leased)] == [1, 0]
    assert "job goes back to the queue" in worker.log()


def test_a_child_logs_and_counts_as_a_worker_does_and_without_work_all_leave(
    process: StartProcess, chores: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = tmp_path / "figures"
    figures.mkdir()
    worker = process("worker", IDLE="1", PROMETHEUS_MULTIPROC_DIR=str(figures), **chores)
    for _ in range(2):
        with log_context(request_id="r-17"):
            enqueue("chores.tell")
        eventually(lambda: below(worker.pid))
        eventually(lambda: not below(worker.pid))
    assert notes() == ["plain, a pool of 2"] * 2
    lines = [json.loads(line) for line in worker.log().splitlines() if "job done" in line]
    assert [(line["request_id"], line["plugin"]) for line in lines] == [("r-17", "chores")] * 2
    assert all(line["tenant"] for line in lines)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(figures))
    assert b'jobs_total{outcome="done",task="chores.tell"} 2.0' in exposition()[0]


def test_children_share_the_memory_of_their_template(process: StartProcess, chores: dict[str, str]) -> None:
    worker = process("worker", WORKER_QUEUES="images:4,default", **chores)
    go_on()
    enqueue("chores.compute")
    eventually(lambda: notes().count("computed") == 1)
    first = _mb(worker)
    redis.client().delete("chores:go_on")
    for _ in range(4):
        enqueue("chores.compute")
    eventually(lambda: len(runners()) == 5)
    go_on()
    eventually(lambda: notes().count("computed") == 5)
    assert len(set(runners())) == 4
    further = (_mb(worker) - first) / 3
    print(f"PSS: template and first child {first:.0f} MB, each further {further:.0f} MB")
    assert first < 130
    assert further < 20


def _mb(worker: Process) -> float:
    """What the template and its children take, shared pages divided."""
    return float(sum(each.memory_full_info().pss for each in below(worker.pid)) / 1e6)
