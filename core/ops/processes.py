"""A real process of the board under test: started as the Procfile says, waited for, killed or stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from core.ops.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "web": ("-m", "gunicorn", "wsgi:app"),
    "worker": ("-m", "core.worker"),
    "scheduler": ("-m", "core.scheduler"),
}
READY = "ready"


class Process:
    """A web, worker or scheduler process in a session of its own; its output and temporary files go to one folder."""

    def __init__(self, kind: str, environ: Mapping[str, str]) -> None:
        self.kind = kind
        self._folder = Path(tempfile.mkdtemp(prefix=f"pegboard-{kind}-"))
        self.environ = {**os.environ, "PORT": str(free_port()), "TMPDIR": str(self._folder), **environ}
        self.url = f"http://127.0.0.1:{self.environ['PORT']}"
        self._log = self._folder / "log"
        self._log.touch()
        self.start()

    def start(self) -> None:
        """Start, or start again after a kill, with the same port and environment."""
        self._began = self._log.stat().st_size
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, *COMMANDS[self.kind]],
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_ready(self, seconds: float = 30) -> None:
        """Return when it serves (web answers /livez, others say so in their log); else fail with its log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._popen.poll() is not None:
                raise AssertionError(f"{self.kind} ended with {self._popen.returncode}:\n{self.log()}")
            if self._answers() if self.kind == "web" else READY in self.log()[self._began :]:
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.kind} was not ready in {seconds} s:\n{self.log()}")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/livez", timeout=1) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL to the process and its children, as a machine that loses power would."""
        self._signal(signal.SIGKILL)
        self._popen.wait(10)

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM and wait; its exit status."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return int(self._popen.returncode)

    def ended(self, seconds: float = 30) -> int:
        """Wait for it to end without telling it to (again); its exit status."""
        return int(self._popen.wait(seconds))

    def close(self) -> None:
        """Whatever it is doing, end it, for nobody waits for what it would still say; and forget the log."""
        if self._popen.poll() is None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)
