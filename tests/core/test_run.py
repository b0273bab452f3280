"""`make run`: what dies comes back alone, what cannot start is named, and nothing outlives its runner."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.background.queue import consumer
from core.ops import leash, supervisor
from core.ops.embedded import PortTaken, ServerFailed, free_port
from core.ops.servers import check_port

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = ("web", "worker", "scheduler")

# Stands in for the board: these tests are about what runs it.
PROCFILE = """
release: test -n "$REDIS_URL"
web: python web.py
worker: python fickle.py worker
scheduler: python fickle.py scheduler
"""
WEB = """
import http.server, os

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ready).serve_forever()
"""
# Works until a file says that it is broken; its child outlives it when it is killed.
FICKLE = """
import pathlib, signal, subprocess, sys, time

name = sys.argv[1]
if pathlib.Path(f"{name}.broken").exists():
    sys.exit(f"{name} misses something")
child = subprocess.Popen(["sleep", "600"])
signal.signal(signal.SIGTERM, lambda *_: (child.kill(), child.wait(), sys.exit(143)))
print(name, "is ready", flush=True)
time.sleep(600)
"""


def until(what: Callable[..., Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return value


class Runner:
    """`make run` without make, in a folder of its own whose name has a space."""

    def __init__(self, folder: Path, broken: str = "", **environ: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "Procfile").write_text(PROCFILE)
        (folder / "web.py").write_text(WEB)
        (folder / "fickle.py").write_text(FICKLE)
        if broken:
            (folder / f"{broken}.broken").touch()
        given = {
            "PYTHONPATH": str(ROOT),
            "PORT": str(free_port()),
            "VALKEY_PORT": str(free_port()),
            "DATABASE_URL": "postgresql://elsewhere/db",
            "MONGODB_URI": "mongodb://elsewhere/db",
            "REDIS_URL": "",
            "INSTANCE_DIR": "instance",
            **environ,
        }
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "core.ops.run", "--then", "greeting", "echo hello from $API_URL"],
                cwd=folder,
                env={**os.environ, **given},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def says(self, text: str) -> None:
        until(lambda: text in self.log.read_text() or self.popen.poll() is not None)
        assert text in self.log.read_text()

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.popen.pid).children(recursive=True)

    def process(self, name: str) -> psutil.Process:
        found: psutil.Process = until(lambda: leash.registered(self.folder / "instance" / "servers", name))
        return found


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Callable[..., Runner]]:
    started: list[Runner] = []

    def run(**environ: str) -> Runner:
        started.append(Runner(tmp_path / "my board", **environ))
        return started[-1]

    yield run
    for each in started:
        if each.popen.poll() is None:
            each.popen.terminate()
        each.popen.wait(30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_signal_leaves_an_orphan(runner: Callable[..., Runner], number: signal.Signals) -> None:
    board = runner()
    board.says("Pegboard is ready")
    board.says("greeting       hello from http://127.0.0.1:")
    family = board.family()
    assert len(family) >= 7  # leash, valkey, web, worker, scheduler, and the children of the last two
    board.popen.send_signal(number)
    until(lambda: all(map(leash.gone, family)))
    status = {signal.SIGINT: 0, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert board.popen.wait(5) == status[number]


def test_whoever_finishes_something_is_waited_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    busy = """trap 'sleep 2.5; echo it is done; exit 0' TERM; echo worker is ready; while :; do sleep 0.1; done"""
    parts = supervisor.Processes(tmp_path, {"worker": f"sh -c {shlex.quote(busy)}"}, os.environ, lambda: True)
    parts.start()
    until(lambda: parts.ready("worker"))
    parts.stop()
    told = capfd.readouterr().out
    assert "finishes what it is at, for up to 25 s" in told
    assert "it is done" in told
    assert consumer.FINISH + consumer.PUT_BACK + 2 < leash.PATIENCE < 30, "platforms wait for 30 s"


def test_what_was_killed_comes_back_alone_however_often(runner: Callable[..., Runner]) -> None:
    board = runner()
    board.says("Pegboard is ready")
    each = {name: board.process(name) for name in ("valkey", *PROCESSES)}
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        for name in each:
            before, children = each[name], each[name].children()
            before.send_signal(number)
            until(lambda before=before: leash.gone(before))
            each[name] = board.process(name)
            assert each == {other: board.process(other) for other in each}, "others were touched"
            assert all(map(leash.gone, children))
    again = runner()
    again.says("it is running already")
    assert again.popen.wait(10) == 1
    assert "starting valkey" not in again.log.read_text()


def test_a_process_that_cannot_start_is_named_with_its_last_words(runner: Callable[..., Runner]) -> None:
    (board := runner(broken="scheduler")).popen.wait(30)
    said = board.log.read_text().splitlines()
    assert said[-2:] == [
        "pegboard: scheduler cannot start: it ended with status 1; the end of its output:",
        "    scheduler misses something",
    ]


def test_a_process_that_fails_again_and_again_ends_the_run(runner: Callable[..., Runner]) -> None:
    board = runner()
    board.says("Pegboard is ready")
    board.says("worker is ready")
    (board.folder / "worker.broken").touch()
    board.process("worker").kill()
    assert board.popen.wait(30) == 1
    said = board.log.read_text()
    assert "pegboard: worker cannot start: it ended with status 1, 3 times in a row; the end of its output:" in said
    assert "web ended" not in said


def test_ports_that_cannot_be(runner: Callable[..., Runner], monkeypatch: pytest.MonkeyPatch) -> None:
    board = runner(PORT="0", POSTGRES_PORT="", MONGO_PORT="", VALKEY_PORT="")
    assert board.popen.wait(20) == 1
    why = "expected 1 to 65533, as its servers take the ports behind it"
    assert board.log.read_text() == f"pegboard: PORT 0 is not acceptable: {why}\n"

    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken, match=r"is taken.*set PORT="):
        check_port("the web process", other.getsockname()[1], "PORT")

    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ServerFailed, match=r"this user may not use port 80 .*the web process.*set PORT="):
        check_port("the web process", 80, "PORT")


def test_a_run_that_was_killed_with_its_leash_is_tidied_up_by_the_next(runner: Callable[..., Runner]) -> None:
    board = runner()
    board.says("Pegboard is ready")
    family = board.family()
    next(process for process in family if "wait" in process.cmdline()).kill()
    board.popen.kill()
    assert not leash.gone(board.process("valkey"))
    again = runner()
    again.says("ended what an earlier run had left: scheduler, web, worker, valkey")
    again.says("Pegboard is ready")
    assert all(map(leash.gone, family))


def test_a_signal_that_was_lost_on_the_way_is_heeded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a signal's handler raises may come up where nothing can be raised, such as while an object is destroyed."""
    from core.ops import run

    class Deaf:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    class Brief(run.Board):
        def start(self) -> None:
            Deaf()
            self.servers, self.processes = Nothing(), Nothing()  # type: ignore[assignment]

        def stop(self) -> None:
            pass

    class Nothing:
        each = ()

        def look(self) -> None:
            raise AssertionError("the signal was lost")

    monkeypatch.setattr(run, "_told", [])
    monkeypatch.setattr(sys, "unraisablehook", lambda seen: None)
    before = {number: signal.getsignal(number) for number in run.SIGNALS}
    try:
        assert Brief().run() == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
