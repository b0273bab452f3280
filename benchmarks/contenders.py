"""Servers under measurement: the board, and the peer that people would otherwise pick; started alike, loaded alike."""

from __future__ import annotations

import dataclasses
import json
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
from typing import Any

from benchmarks.common import ROOT, cpu, pss
from core.ops.servers import free_port

PEER = ROOT / "benchmarks" / "peers" / "express-sequelize"


@dataclasses.dataclass
class Posts:
    """Bodies to POST, in turn. With ``carry`` one a connection, which takes that field over from each reply."""

    bodies: list[dict[str, Any]]
    carry: str = ""


class Contender:
    """One server in a session of its own, ready when it answers ``/livez``."""

    def __init__(self, name: str, command: list[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._popen = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environ, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._wait_ready()
        except BaseException:
            self.close()
            raise

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._popen.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/livez", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise SystemExit(f"{self.name} did not serve:\n{self.log()}")

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]

    def memory(self) -> float:
        return pss(self._popen.pid)

    def load(
        self, path: str, token: str, connections: int, seconds: float, *, rate: float = 0, posts: Posts | None = None
    ) -> dict[str, float]:
        """What ``benchmarks.load`` says, with the processor time of this server's processes in ``cpu_ms`` a request.

        What ``posts`` carry is left as it stands after the last reply.
        """
        before = cpu(self._popen.pid)
        words = [self.url + path, "--connections", str(connections), "--seconds", str(seconds), "--token", token]
        words += ["--rate", str(rate)]
        if posts:
            words.append("--post")
        shown = subprocess.run(
            [sys.executable, "-m", "benchmarks.load", *words],
            cwd=ROOT,
            input=json.dumps(dataclasses.asdict(posts)) if posts else "",
            capture_output=True,
            text=True,
            check=False,
        )
        if shown.returncode:
            raise SystemExit(f"{self.name}, {path}: {shown.stderr.strip()}\n{self.log()}")
        figures = json.loads(shown.stdout)
        if posts and posts.carry:
            posts.bodies = figures.pop("bodies")
        figures["rate"] = figures["requests"] / figures["seconds"]
        figures["cpu_ms"] = (cpu(self._popen.pid) - before) * 1000 / figures["requests"]
        return dict(figures)

    def close(self) -> None:
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._popen.pid, signal.SIGKILL)
                self._popen.wait()
        self._log.close()


def board(processes: int, folder: Path = ROOT, name: str = "board", **environ: str) -> Contender:
    command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
    return Contender(name, command, folder, {"WEB_CONCURRENCY": str(processes), **environ})


def express(processes: int, database_url: str) -> Contender:
    environ = {"WEB_CONCURRENCY": str(processes), "DATABASE_URL": database_url, "NODE_ENV": "production"}
    return Contender("Express", [str(shutil.which("node")), "server.js"], PEER, environ)


def install_peer() -> str:
    """Install the peer's packages where they are not yet; Node's version, or an empty text without Node and npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return ""
    mark, lock = PEER / "node_modules" / ".package-lock.json", PEER / "package-lock.json"
    if not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=PEER, check=True)
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip().lstrip("v")
