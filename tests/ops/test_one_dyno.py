"""``RUN_INSIDE_WEB``: web, worker and scheduler in one process tree, as a platform's smallest plan has it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask
from fleet import ask_once, children, eventually, install_naps

from core.background.tasks import enqueue
from core.data import redis
from core.ops.processes import ROOT
from core.ops.servers import free_port


class Dyno:
    """The Procfile's web line, run as a platform runs it."""

    def __init__(self, log: Path, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.serve"],
                cwd=ROOT,
                env={**os.environ, "PORT": str(self.port), **environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines() if '"core.serve"' in line]

    def part(self, name: str) -> int:
        """The process that runs ``core.<name>`` or gunicorn; 0 while there is none."""
        for pid in children(self.process.pid):
            try:
                if name in " ".join(psutil.Process(pid).cmdline()):
                    return pid
            except psutil.Error:
                continue
        return 0

    def close(self) -> None:
        family = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def dyno(board: Flask, tmp_path: Path) -> Iterator[Dyno]:
    """Web and a scheduler, as soon as both have been started."""
    started = Dyno(tmp_path / "log", RUN_INSIDE_WEB="scheduler")
    try:
        eventually(lambda: started.part("core.scheduler"))
        yield started
    finally:
        started.close()


def answers(dyno: Dyno) -> bool:
    try:
        return ask_once(dyno.url, "/livez")[0] == 200
    except OSError:
        return False


def notes() -> list[bytes]:
    found: Any = redis.client().lrange("naps", 0, -1)
    return list(found)


@pytest.fixture
def whole(ctx: Flask, tmp_path: Path) -> Iterator[Dyno]:
    """All three, ready."""
    started = Dyno(tmp_path / "log", RUN_INSIDE_WEB="worker, scheduler", **install_naps(tmp_path))
    try:
        eventually(lambda: "worker is ready" in started.log() and "scheduler is ready" in started.log())
        yield started
    finally:
        started.close()


def test_all_three_run_and_what_dies_comes_back(whole: Dyno) -> None:
    dyno = whole
    eventually(lambda: answers(dyno))
    enqueue("naps.rest", seconds=0.0, word="one")
    eventually(lambda: notes() == [b"one begun", b"one done"])
    # Said once, five seconds after the start: of all parts, while none is being started again.
    told = eventually(lambda: [line["extra"] for line in dyno.lines() if line["message"].startswith("memory")])[0]
    assert set(told) == {"web", "worker", "scheduler", "supervisor", "total"}
    assert 0 < told["supervisor"] < 20
    assert told["total"] < 400, "of a dyno's 512"
    for name in ("worker", "scheduler"):
        killed = dyno.part(f"core.{name}")
        os.kill(killed, signal.SIGKILL)
        eventually(lambda name=name, killed=killed: dyno.part(f"core.{name}") not in (0, killed))
    enqueue("naps.rest", seconds=0.0, word="two")
    eventually(lambda: b"two done" in notes())  # perhaps before "one", which the killed worker may not have settled
    assert answers(dyno), "web has not noticed"

    # One place for everybody's figures.
    figures = ask_once(dyno.url, "/metrics")[1].decode()
    assert 'jobs_total{outcome="done",task="naps.rest"}' in figures

    family = psutil.Process(dyno.process.pid).children(recursive=True)
    began = time.monotonic()
    dyno.process.terminate()
    assert dyno.process.wait(30) == 0, dyno.log()
    assert time.monotonic() - began < 25
    assert not psutil.wait_procs(family, timeout=5)[1], "nobody stays behind"
    assert "Traceback" not in dyno.log()


def test_when_web_ends_so_does_the_dyno(dyno: Dyno) -> None:
    other = psutil.Process(dyno.part("core.scheduler"))
    os.kill(dyno.part("gunicorn"), signal.SIGKILL)
    assert dyno.process.wait(30) == 128 + signal.SIGKILL, dyno.log()
    assert not psutil.wait_procs([other], timeout=5)[1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_when_the_supervisor_is_killed_nothing_stays(dyno: Dyno) -> None:
    family = psutil.Process(dyno.process.pid).children(recursive=True)
    os.kill(dyno.process.pid, signal.SIGKILL)
    dyno.process.wait(5)
    # In a container whose first process reaps nobody they stay as zombies.
    eventually(lambda: all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in family))


def test_without_the_setting_it_is_gunicorn_itself(board: Flask, tmp_path: Path) -> None:
    plain = Dyno(tmp_path / "log")
    try:
        eventually(lambda: answers(plain))
        assert "gunicorn" in " ".join(psutil.Process(plain.process.pid).cmdline())
        assert plain.part("core.worker") == 0
        plain.process.terminate()
        assert plain.process.wait(30) == 0
    finally:
        plain.close()


def test_a_word_that_is_neither_is_refused_by_name(board: Flask, tmp_path: Path) -> None:
    wrong = Dyno(tmp_path / "log", RUN_INSIDE_WEB="worker,sheduler")
    try:
        assert wrong.process.wait(30) == 1
        assert "RUN_INSIDE_WEB 'worker,sheduler' is not acceptable" in wrong.log()
    finally:
        wrong.close()


def test_it_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from core import serve

    clock = [1000.0]
    monkeypatch.setattr(serve.time, "monotonic", lambda: clock[0])
    part = serve.Part("worker", ("true",))
    part.since = clock[0]
    assert [part.wait_longer() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    clock[0] += 61
    assert part.wait_longer() == 1, "it has run for a while: it begins anew"
