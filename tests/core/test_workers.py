"""Real workers: told to end, killed, and with a Valkey that comes and goes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from job_kills import held_by
from throwaway import HASTE, eventually, install

from core.background.queue import contents, dead
from core.background.queue.keys import Keys
from core.background.tasks import enqueue
from core.data import redis
from core.data.tenancy import DEFAULT, acting_in
from core.data.unit import unit
from core.ops.embedded import start
from core.ops.processes import Process

StartProcess = Callable[..., Process]


def queued() -> int:
    return len(list(contents.waiting())) + len(list(contents.leased()))


@pytest.fixture
def house_chores(ctx: Flask, tmp_path: Path) -> dict[str, str]:
    """A plugin whose tasks write to Redis what they do."""
    tasks = """\
        import time
        from core.background import task
        from core.data import redis
        from core.data.unit import in_steps
        from core.trust import public

        @task()
        @public
        def note(word: str) -> None:
            redis.client().rpush("chores:notes", word)

        @task()
        @public
        @in_steps
        def note_and_halt(number: int) -> None:
            if redis.client().rpush("chores:notes", number) > 100:
                while not redis.client().exists("chores:go_on"):
                    time.sleep(0.02)

        @task()
        @public
        @in_steps
        def rest(seconds: float) -> None:
            redis.client().rpush("chores:notes", "begun")
            time.sleep(seconds)
            redis.client().rpush("chores:notes", "rested")
        """
    return install(tmp_path, "chores", tasks=tasks, models=HASTE)


def notes() -> list[bytes]:
    found: Any = redis.client().lrange("chores:notes", 0, -1)
    return list(found)


def test_a_worker_ends_after_its_running_jobs(process: StartProcess, house_chores: dict[str, str]) -> None:
    worker = process("worker", WORKER_CONCURRENCY="2", **house_chores)
    enqueue("chores.rest", seconds=1.5)
    eventually(lambda: notes() == [b"begun"])
    os.kill(worker.pid, signal.SIGTERM)
    eventually(lambda: "worker ends" in worker.log())
    enqueue("chores.note", word="too late")
    assert worker.stop() == 0, worker.log()
    assert notes() == [b"begun", b"rested"]
    assert queued() == 1, "it takes nothing new"


def test_a_killed_worker_loses_nothing(process: StartProcess, house_chores: dict[str, str]) -> None:
    worker = process("worker", WORKER_CONCURRENCY="3", **house_chores)
    with unit():
        for number in range(300):
            enqueue("chores.note_and_halt", number=number)
    eventually(lambda: len(notes()) > 100)
    pid = worker.pid
    worker.kill()
    redis.client().set("chores:go_on", 1)
    held = held_by(pid)
    worker.start()
    eventually(lambda: queued() == 0)
    assert worker.stop() == 0
    seen = notes()
    assert len(set(seen)) == 300
    assert len(seen) <= 300 + held, "twice at most those that it had in hand"


def test_a_worker_and_its_callers_bear_a_valkey_that_is_not_there(
    house_chores: dict[str, str],
    make_board: Callable[..., Flask],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = start(tmp_path / "valkey", durable=True, only=("valkey",))
    assert own.valkey
    own.valkey.stop()
    monkeypatch.setenv("REDIS_URL", own.valkey.url)
    worker = Process("worker", house_chores)
    try:
        worker.wait_ready()
        eventually(lambda: "Redis is away" in worker.log())
        before = _cpu_seconds(worker.pid)
        time.sleep(0.4)
        assert _cpu_seconds(worker.pid) - before < 0.2, "no busy loop"
        own.valkey.start()
        eventually(lambda: "Redis is back" in worker.log())
        with make_board("web").app_context(), acting_in(DEFAULT):
            enqueue("chores.note", word="before")
            eventually(lambda: notes() == [b"before"])
            own.valkey.kill()
            for word in ("while", "away"):
                enqueue("chores.note", word=word)
            eventually(lambda: worker.log().count("Redis is away") == 2)
            own.valkey.start()
            # A Valkey that is killed while it syncs forgets what it last wrote: "before" may be gone, or run again.
            eventually(lambda: {b"while", b"away"} <= set(notes()), 40)
            assert notes().count(b"while") == notes().count(b"away") == 1
        assert worker.log().count("Redis is away") == 2, "it is not said again and again"
        assert worker.stop() == 0
        assert "Traceback" not in worker.log()
    finally:
        worker.close()
        own.stop()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_what_was_never_ours_stops_no_worker(process: StartProcess, house_chores: dict[str, str]) -> None:
    """Whoever can write to Redis may put anything there; what is no message is kept apart, and the others run."""
    enqueue("chores.note", word="before")
    keys = Keys("default")
    [job] = contents.waiting()
    strange = [b"", b"x", b"\xff" * 100, b"\x80\x04K\x01.", b"{}", b"/" * 40, b"a" * 16, b"b" * 300_000]
    unsigned = [b"c" * 16 + b"0/:unsigned", b"\xff" * 16 + b"0/" + job.lane.encode() + b":" + job.message]
    unsigned += [b"d" * 16 + b"\xff/\xff;z:" + b"\xff", b"e" * 16 + b":", b"f" * 16 + job.message]
    redis.client().lpush(keys.lane(job.lane), *strange, *unsigned)
    assert len(list(contents.waiting())) == 1 + len(strange) + len(unsigned)
    worker = process("worker", WORKER_CONCURRENCY="2", **house_chores)
    enqueue("chores.note", word="after")
    eventually(lambda: set(notes()) == {b"before", b"after"} and queued() == 0)
    letters = list(dead.letters("default"))
    assert len(letters) == len(strange) + len(unsigned)
    assert all(each.envelope is None and dead.letter("default", each.key) == each for each in letters)
    assert worker.stop() == 0, worker.log()
