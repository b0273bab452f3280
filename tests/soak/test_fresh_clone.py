"""What a newcomer does: a clone in a folder with a space in its name, an empty home, ``make run``, the tour, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from tour import shell, take, tour

from core.ops.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
INSTALL = 600.0
"""Seconds for the first `make run`: it makes the virtual environment."""


def of_clone(clone: Path) -> list[psutil.Process]:
    """Every process that was started in the clone, or with a path in it."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or ()), process.info["cwd"] or ""]
        if any(str(clone) in word for word in words):
            found.append(process)
    return found


def until(what: str, log: Path, runner: subprocess.Popen[bytes], patience: float, since: int = 0) -> None:
    deadline = time.monotonic() + patience
    while what not in log.read_text(errors="replace")[since:]:
        assert runner.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.2)


@pytest.mark.timeout(1200)
def test_two_commands_and_the_tour(tmp_path: Path) -> None:
    clone = tmp_path / "a new board"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    port = free_port()
    kept = ("PATH", "LANG", "PIP_CERT", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    environ |= {"HOME": str(tmp_path / "home"), "PORT": str(port)}
    for name in ("POSTGRES_PORT", "VALKEY_PORT", "MONGO_PORT"):
        environ[name] = str(free_port())
    log = tmp_path / "make-run.log"

    def run() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                ["make", "run"], cwd=clone, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def leave(runner: subprocess.Popen[bytes]) -> None:
        os.killpg(runner.pid, signal.SIGINT)
        runner.wait(40)
        deadline = time.monotonic() + 10
        while (left := of_clone(clone)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []

    runner = run()
    try:
        until("Pegboard is ready", log, runner, INSTALL)
        until("/auth/setup#token=", log, runner, 10)
        with shell(environ, clone) as sh:
            take(sh, tour((clone / "README.md").read_text()), f"http://127.0.0.1:{port}")
        leave(runner)
        began = len(log.read_text())
        runner = run()
        until("Pegboard is ready", log, runner, 60, since=began)
        assert "/auth/setup#token=" not in log.read_text()[began:], "the tour's administrator is forgotten"
        leave(runner)
    finally:
        if runner.poll() is None:
            os.killpg(runner.pid, signal.SIGINT)
            runner.wait(40)
    some = "PYTEST_ARGS=tests/core/test_unit.py tests/core/test_tenancy.py"
    for command in (["make", "check"], ["make", "test", some]):
        tested = subprocess.run(command, cwd=clone, env=environ, check=False, capture_output=True, text=True)
        assert tested.returncode == 0, tested.stdout + tested.stderr
        assert " passed" in tested.stdout
