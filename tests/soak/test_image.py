"""The Dockerfile's steps without Docker: its packages in a fresh virtual environment, its files in a fresh folder,
closed for writing; then the whole board from there, in production's settings, as its command starts it.

Needs whatever pip needs to fetch the locked packages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from core.ops.processes import ROOT
from core.ops.servers import free_port
from core.ops.testbed import TestServers

REGISTER = b'{"email": "alice@example.com", "password": "correct horse battery", "display_name": "Alice"}'


def steps(word: str) -> list[str]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    return [line.removeprefix(f"{word} ") for line in text.splitlines() if line.startswith(f"{word} ")]


def interpreter() -> str:
    """The image's Python where it is installed, else ours."""
    wanted = shutil.which(f"python{(ROOT / '.python-version').read_text().strip()}")
    if wanted and subprocess.run([wanted, "-c", ""], check=False, capture_output=True).returncode == 0:
        return wanted
    return sys.executable


@pytest.mark.timeout(600)
def test_the_image_is_a_whole_board(servers: TestServers, tmp_path: Path) -> None:
    app, venv, data = (tmp_path / name for name in ("app", "venv", "data"))
    app.mkdir()
    data.mkdir()
    for line in steps("COPY"):
        if not line.startswith("--from"):
            *sources, target = line.split()
            for source in sources:
                place = app / (Path(source).name if target == "./" else target)
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, place)
    make, install = (line for line in steps("RUN") if "venv" in line)
    subprocess.run([interpreter(), *make.replace("/venv", str(venv)).split()[1:]], check=True)
    subprocess.run([*install.replace("/venv", str(venv)).split(), "--quiet"], cwd=ROOT, check=True)
    named = dict(pair.split("=", 1) for line in steps("ENV") for pair in line.split())
    environ = {
        **{name: value for name, value in named.items() if name != "PATH"},
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.defpath}",
        "INSTANCE_DIR": str(data),
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "MONGODB_URI": servers.mongodb_uri,
        "SECRET_KEYS": os.urandom(32).hex(),
        "API_URL": "https://board.example.com",
        "PORT": str(free_port()),
        "RUN_INSIDE_WEB": "worker,scheduler",
    }
    environ["GUNICORN_CMD_ARGS"] = f"--bind 127.0.0.1:{environ['PORT']}"  # tests open no door to others
    for compile_all in (line for line in steps("RUN") if "compileall" in line):
        subprocess.run(compile_all.split(), cwd=app, env=environ, check=True)
    before = {path: path.stat().st_mtime_ns for path in app.rglob("*")}

    # Names and servers are the tests'; a sample plugin's tables may be there and harm nobody.
    subprocess.run(["flask", "db", "upgrade"], cwd=app, env=environ, check=True)
    log = tmp_path / "log"
    with log.open("wb") as out:
        command = json.loads(steps("CMD")[0])
        board = subprocess.Popen(command, cwd=app, env=environ, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{environ['PORT']}"
        until(lambda: "worker is ready" in log.read_text() and "scheduler is ready" in log.read_text(), log)
        asked = urllib.request.Request(f"{url}/api/auth/register", REGISTER, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as reply:
            assert reply.status == 201
        until(lambda: "job done" in log.read_text(), log)
        until(lambda: "memory in MB" in log.read_text(), log)
        told = next(json.loads(line) for line in log.read_text().splitlines() if "memory in MB" in line)["extra"]
        print(f"one dyno, MB, shared pages divided: {told}")
        assert told["total"] <= 300
    finally:
        board.send_signal(signal.SIGTERM)
        assert board.wait(30) == 0, log.read_text()
    assert {path: path.stat().st_mtime_ns for path in app.rglob("*")} == before, "nothing is written beside the code"
    assert "Traceback" not in log.read_text()


def until(what: object, log: Path, seconds: float = 60) -> None:
    assert callable(what)
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
