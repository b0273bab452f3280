"""``make run``: a whole board on one machine, from servers to web process, until Ctrl-C.

    python -m core.ops.run [--then LABEL COMMAND]    start everything; when it is ready, run COMMAND (a line of shell)
                                                     and show what it prints beside LABEL
    python -m core.ops.run -- COMMAND …              run a command with the addresses of the board that is running

Its own servers stand in for ``DATABASE_URL``, ``REDIS_URL`` and ``MONGODB_URI`` where those are not set. What the
Procfile says is run through honcho; a process or server that dies is started again.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil
from dotenv import dotenv_values
from honcho.environ import parse_procfile

from core.config import BoardSettings, load
from core.errors import BootError
from core.ops import leash
from core.ops.embedded import Busy, PortTaken, ServerFailed, Servers, listening, start

PROCESSES = ("web", "worker", "scheduler")
RELEASE = "release"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 90.0
OFTEN = 3
"""A board whose processes ended so many times within a minute is not started once more."""


class Leave(Exception):
    """Time to go. ``status`` is the exit status, ``why`` a line for the person at the terminal."""

    def __init__(self, status: int, why: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--", *command] if command:
            return borrow(command)
        case []:
            return Board().run()
        case ["--then", label, command]:
            return Board(label, command).run()
    print(__doc__, file=sys.stderr)
    return 2


def say(text: str) -> None:
    print(text, flush=True)


def environment() -> dict[str, str]:
    """What the processes get: the environment, then ``.env``, then what suits a board on one's own machine."""
    # An empty variable counts as unset, here as in core/config.py.
    environ = {name: value for name, value in {**dotenv_values(".env"), **os.environ}.items() if value}
    environ.setdefault("APP_ENV", "development")
    environ["PORT"] = environ.get("PORT") or "8000"
    environ["API_URL"] = environ.get("API_URL") or f"http://127.0.0.1:{environ['PORT']}"
    environ["PYTHONUNBUFFERED"] = "1"
    # The Procfile's programs, without asking the shell to have activated the environment.
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', os.defpath)}"
    return environ


class Board:
    """One run: servers, migrations, processes, and their end."""

    def __init__(self, label: str = "", then: str = "") -> None:
        self.label = label
        self.then = then
        self.environ = environment()
        self.procfile: dict[str, str] = dict(parse_procfile(Path("Procfile").read_text()).processes)
        self.servers: Servers | None = None
        self.honcho: subprocess.Popen[bytes] | None = None
        self.parent = os.getppid()
        self.was_ready = False
        self.ends: list[float] = []

    def run(self) -> int:
        """Start everything and stay until told to leave; the exit status."""
        for number in SIGNALS:
            signal.signal(number, _leave)
        try:
            self.start()
            self.watch()
        except Leave as exc:
            status, why = exc.status, exc.why
        except (Busy, ServerFailed, BootError, OSError) as exc:
            status, why = 1, _line(exc)
        # What has begun is brought to its end: a second Ctrl-C would leave half of it behind.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if why:
            say(f"pegboard: {why}")
        self.stop()
        return status

    def start(self) -> None:
        settings = load({"DATABASE_URL": "-", "REDIS_URL": "-", "MONGODB_URI": "-", **self.environ})
        self.folder = Path(settings.instance_dir).resolve() / "servers"
        self.start_servers(settings)
        if listening(settings.port):
            raise PortTaken("the web process", settings.port, "PORT")
        self.share()
        self.migrate()
        self.start_processes()
        self.wait_ready(settings.port)
        self.greet()

    def start_servers(self, settings: BoardSettings) -> None:
        ours = {"DATABASE_URL": "postgres", "REDIS_URL": "valkey", "MONGODB_URI": "mongo"}
        needed = [name for variable, name in ours.items() if not self.environ.get(variable)]
        ports = [self.port(f"{name.upper()}_PORT", settings.port + n) for n, name in enumerate(ours.values(), 1)]
        say(f"starting {', '.join(needed)}" if needed else "using the servers that the environment names")
        self.servers = start(self.folder, durable=True, only=needed, ports=ports)
        if self.servers.hold.swept:
            say(f"ended what an earlier run had left: {', '.join(self.servers.hold.swept)}")
        self.environ.update(self.servers.environ())

    def port(self, variable: str, usual: int) -> int:
        text = self.environ.get(variable) or str(usual)
        if not text.isdecimal() or int(text) > 65535:
            raise BootError(f"{variable} {text!r} is not acceptable: expected a port number")
        return int(text)

    def share(self) -> None:
        """Leave the addresses for ``borrow``, readable by this user alone; one place for the processes' figures."""
        path = self.folder / "environ.json"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        names = ("APP_ENV", "API_URL", "PORT", "DATABASE_URL", "REDIS_URL", "MONGODB_URI")
        path.write_text(json.dumps({name: self.environ[name] for name in names}))
        # The processes add their figures up in one place, from nought.
        figures = self.folder / "metrics"
        shutil.rmtree(figures, ignore_errors=True)
        figures.mkdir()
        self.environ["PROMETHEUS_MULTIPROC_DIR"] = str(figures)

    def migrate(self) -> None:
        say("applying migrations")
        done = self.shell(self.procfile[RELEASE])
        if done.returncode:
            raise Leave(1, f"`{self.procfile[RELEASE]}` failed:\n{done.stdout}{done.stderr}".strip())

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell to its end."""
        line = ["/bin/sh", "-c", command]
        return subprocess.run(
            line, check=False, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def start_processes(self) -> None:
        """Give honcho the lines of the Procfile, each so that the leash knows its process."""
        tie = [sys.executable, "-P", leash.__file__, "tie", str(self.folder)]
        lines = [f"{name}: exec {shlex.join([*tie, name, self.procfile[name]])}\n" for name in PROCESSES]
        procfile = self.folder / "Procfile"
        procfile.write_text("".join(lines))
        command = [sys.executable, "-m", "honcho", "--procfile", str(procfile), "--env", os.devnull]
        command += ["start", "--port", self.environ["PORT"]]
        self.honcho = subprocess.Popen(command, env=self.environ, stdin=subprocess.DEVNULL, start_new_session=True)
        leash.register(self.folder, "honcho", self.honcho.pid)

    def wait_ready(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _ready(port):
            self.look()
            if time.monotonic() > deadline:
                raise Leave(1, f"the board was not ready within {PATIENCE:.0f} seconds; see above")
            time.sleep(0.1)
        self.was_ready = True

    def greet(self) -> None:
        url = self.environ["API_URL"].rstrip("/")
        lines = {"address": url, "documentation": f"{url}/docs"}
        if self.then:
            done = self.shell(self.then)
            said = done.stdout.strip()
            if done.returncode:
                said = f"`{self.then}` failed: {(done.stderr.strip() or said or 'no word why').splitlines()[-1]}"
            if said:
                lines[self.label] = said
        width = max(map(len, lines))
        say("\n  Pegboard is ready.\n")
        for label, value in lines.items():
            say(f"    {label:<{width}}  {value}")
        say(f"\n  Ctrl-C stops it; its data stay in {self.folder.parent}.\n")

    def watch(self) -> NoReturn:
        while True:
            self.look()
            time.sleep(0.3)

    def look(self) -> None:
        """Start again what has died, unless it does so again and again; leave when whoever started us has gone."""
        assert self.servers and self.honcho
        if "MAKELEVEL" in os.environ and os.getppid() != self.parent:
            raise Leave(1, "make is gone, so this stops too")
        for server in self.servers.each:
            if not server.alive:
                say(f"{server.title} ended; starting it again")
                server.start()
        if self.honcho.poll() is not None:
            now = time.monotonic()
            self.ends = [*(end for end in self.ends if now - end < 60), now]
            if not self.was_ready or len(self.ends) >= OFTEN:
                raise Leave(1, "a process ended, and would again; see above")
            say("a process ended; starting web, worker and scheduler again")
            self.end_processes()
            self.start_processes()

    def end_processes(self) -> None:
        if self.honcho is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            leash.end(psutil.Process(self.honcho.pid))
        self.honcho.wait()
        for name in ("honcho", *PROCESSES):  # where honcho was killed, the others still run
            process = leash.registered(self.folder, name)
            if process:
                leash.end(process)
            leash.forget(self.folder, name)

    def stop(self) -> None:
        self.end_processes()
        if self.servers:
            (self.folder / "environ.json").unlink(missing_ok=True)
            self.servers.stop()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise Leave(0 if number == signal.SIGINT else 128 + number, "stopping")


def _line(exc: Exception) -> str:
    if isinstance(exc, Busy):
        return f"it is running already (process {exc.pid}); stop that, or set INSTANCE_DIR and PORT for a second board"
    if isinstance(exc, PermissionError):
        return f"{exc}; was this folder last used by another user?"
    return str(exc)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def borrow(command: list[str]) -> int:
    """Run ``command`` with the addresses of the board that runs on this folder, in place of this process."""
    environ = environment()
    folder = Path(environ.get("INSTANCE_DIR") or "instance") / "servers"
    if leash.registered(folder, "honcho") is None:
        print("pegboard: no board is running here: start it with make run, in another terminal", file=sys.stderr)
        return 1
    environ.update(json.loads((folder / "environ.json").read_text()))
    os.execvpe(command[0], command, environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
