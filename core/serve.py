"""The web process: gunicorn and, where ``RUN_INSIDE_WEB`` says so, worker and scheduler beside it.

    python -m core.serve

A platform's smallest plan runs one process. With ``RUN_INSIDE_WEB=worker,scheduler`` this stays above the three: it
starts again what dies, waiting longer each time; it ends all of them on SIGTERM; it leaves when web does, so that the
platform sees that; and it logs what each takes of the memory. Without, it becomes gunicorn and costs nothing.

Why not gunicorn's master: that reaps every child of its own accord and then says nothing about strangers, and it holds
the whole board in memory before it could start one. This imports the standard library alone: a few megabytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

VARIABLE = "RUN_INSIDE_WEB"
FIGURES = "PROMETHEUS_MULTIPROC_DIR"
WEB = (sys.executable, "-m", "gunicorn", "wsgi:app")
INSIDE = {
    "worker": (sys.executable, "-m", "core.worker"),
    "scheduler": (sys.executable, "-m", "core.scheduler"),
}
GRACE = 26.0
"""Seconds from SIGTERM to SIGKILL: each part needs less than 25 itself, and platforms kill after 30."""
LONGEST_WAIT = 60.0
"""Seconds between two attempts to start what dies again and again; who has run for so long begins anew."""
WEB_FIRST = 20.0
"""The platform waits for web's port: the others are started once that is open, or after so many seconds."""
SETTLED, MEMORY_EVERY = 5.0, 600.0
"""Seconds after the last start when memory is first told, and from then on."""
PR_SET_PDEATHSIG = 1


def say(level: str, message: str, **extra: Any) -> None:
    """A line as ``core.telemetry`` would write it, which is too heavy to be imported here."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"time": now, "level": level, "logger": "core.serve", "message": message, "extra": extra}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def inside() -> list[str]:
    """What ``RUN_INSIDE_WEB`` names. A word that it does not know is left to gunicorn.conf.py, which refuses it."""
    return [name for word in os.environ.get(VARIABLE, "").split(",") if (name := word.strip()) in INSIDE]


class Part:
    """One of the processes: when it was started, how often it has failed since, when it may be started again."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None
        self.since = self.due = 0.0
        self.failures = 0

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)
        self.since = time.monotonic()

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_longer(self) -> float:
        """It has ended: the seconds until it may be started again."""
        if time.monotonic() - self.since > LONGEST_WAIT:
            self.failures = 0
        wait = min(2.0**self.failures, LONGEST_WAIT)
        self.failures += 1
        self.due = time.monotonic() + wait
        return wait


class Household:
    """Web, what runs inside its process's dyno, and their end."""

    def __init__(self, names: Sequence[str]) -> None:
        self.web = Part("web", WEB)
        self.others = [Part(name, INSIDE[name]) for name in names]
        self.told = 0

    def run(self) -> int:
        """Stay until SIGTERM or until web ends; the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        self.web.start()
        began = time.monotonic()
        while not self.told and self.web.running() and not _open_port() and time.monotonic() < began + WEB_FIRST:
            time.sleep(0.1)
        self._watch()
        return self._end()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.told = number

    def _watch(self) -> None:
        tell = time.monotonic() + SETTLED
        while not self.told and self.web.running():
            now = time.monotonic()
            for part in self.others:
                if part.process is not None and not part.running():
                    status, part.process = part.process.returncode, None
                    wait = part.wait_longer()
                    say("ERROR", f"the {part.name} has ended and is started again", status=status, in_seconds=wait)
                if part.process is None and now >= part.due:
                    part.start()
                    say("INFO", f"the {part.name} runs inside the web process", pid=part.process and part.process.pid)
            if now >= tell:
                self._tell_memory()
                tell = now + MEMORY_EVERY
            time.sleep(0.2)

    def _end(self) -> int:
        """Ask everybody to leave, and kill who has not in time."""
        if not self.told:
            say("ERROR", "web has ended, so the others leave too", status=self.web.process and self.web.process.poll())
        parts = [part for part in (self.web, *self.others) if part.running()]
        for part in parts:
            assert part.process
            part.process.terminate()
        deadline = time.monotonic() + GRACE
        for part in parts:
            assert part.process
            try:
                part.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                say("WARNING", f"the {part.name} did not leave in time and is killed")
                part.process.kill()
                part.process.wait()
        status = self.web.process.returncode if self.web.process else 1
        return status if self.told else status if status > 0 else 128 - status if status < 0 else 1

    def _tell_memory(self) -> None:
        running = [part for part in (self.web, *self.others) if part.running()]
        shares = {part.name: _share(part.process.pid) for part in running if part.process}
        shares["supervisor"] = _own(os.getpid())
        megabytes = {name: round(size / 1024) for name, size in shares.items()}
        say("INFO", "memory in MB, shared pages divided", **megabytes, total=round(sum(shares.values()) / 1024))


def _open_port() -> bool:
    port = os.environ.get("PORT") or "8000"
    with socket.socket() as probe:
        probe.settimeout(1)
        # What is no port number gunicorn.conf.py refuses in a moment.
        return port.isdecimal() and int(port) < 65536 and probe.connect_ex(("127.0.0.1", int(port))) == 0


def _die_with_parent() -> None:
    """Runs in the child. Should this process be killed, nothing of what it started may stay (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _share(pid: int) -> int:
    """Kilobytes of a process and all its descendants, shared pages divided (PSS); 0 where the system does not say."""
    return sum(_own(member) for member in _family(pid))


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))


def _own(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def check_workers() -> None:
    """gunicorn reads WEB_CONCURRENCY before it asks us, and stumbles over what is no number: let the board say so."""
    said = os.environ.get("WEB_CONCURRENCY", "1").strip()
    if not said:
        del os.environ["WEB_CONCURRENCY"]
    elif not (said.isascii() and said.isdecimal()):
        os.execv(sys.executable, (sys.executable, "-c", "from core.app import boot; boot('web')"))


def main() -> int:
    check_workers()
    names = inside()
    if not names:
        os.execv(WEB[0], WEB)
    if os.environ.get(FIGURES):
        return Household(names).run()
    # One place for everybody's figures: /metrics then tells of jobs and duties too.
    folder = os.environ[FIGURES] = tempfile.mkdtemp(prefix="pegboard-metrics-")
    try:
        return Household(names).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
