"""``make run``: a whole board on one machine, from servers to web process, until Ctrl-C.

    python -m core.ops.run [--then LABEL COMMAND]    start everything; when it is ready, run COMMAND (a line of shell)
                                                     and show what it prints beside LABEL
    python -m core.ops.run -- COMMAND …              run a command with the addresses of the board that is running

Its own servers stand in for ``DATABASE_URL``, ``REDIS_URL`` and ``MONGODB_URI`` where those are not set. The processes
are the Procfile's (``core.ops.supervisor``); a process or server that dies is started again, alone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dotenv import dotenv_values
from honcho.environ import parse_procfile

from core.config import load
from core.errors import BootError
from core.ops import leash
from core.ops.embedded import Busy, ServerFailed, Servers, start
from core.ops.servers import check_port, check_right
from core.ops.supervisor import CannotStart, Processes

PROCESSES = ("web", "worker", "scheduler")
RELEASE = "release"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 90.0
OURS = {"DATABASE_URL": "postgres", "REDIS_URL": "valkey", "MONGODB_URI": "mongo"}


class Leave(BaseException):
    """Time to go. ``status`` is the exit status, ``why`` a line for the terminal, where something failed."""

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
        self.processes: Processes | None = None
        self.parent = os.getppid()

    def run(self) -> int:
        """Start everything and stay until told to leave; the exit status."""
        for number in SIGNALS:
            signal.signal(number, _leave)
        try:
            self.start()
            self.watch()
        except Leave as exc:
            status, why = exc.status, exc.why
        except (Busy, CannotStart, ServerFailed, BootError, OSError) as exc:
            status, why = 1, _line(exc)
        # What has begun is brought to its end: a second Ctrl-C would leave half of it behind.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        with contextlib.suppress(OSError):  # a terminal that is gone is no reason to leave servers behind
            if self.servers or not why:
                say("pegboard: stopping")
        self.stop()
        # What went wrong is the last line, below what the processes say when they leave.
        with contextlib.suppress(OSError):
            if why:
                say(f"pegboard: {why}")
        return status

    def start(self) -> None:
        to_come = {"DATABASE_URL": "postgresql://-", "REDIS_URL": "redis://-", "MONGODB_URI": "mongodb://-"}
        settings = load({**to_come, **self.environ})
        self.folder = Path(settings.instance_dir).resolve() / "servers"
        ports = self.ports(settings.port)
        if pid := leash.runner(self.folder):
            raise Busy(self.folder, pid)
        say(f"starting {', '.join(ports)}" if ports else "using the servers that the environment names")
        order = [ports.get(name, 0) for name in OURS.values()]
        self.servers = start(self.folder, durable=True, only=list(ports), ports=order)
        if self.servers.hold.swept:
            say(f"ended what an earlier run had left: {', '.join(self.servers.hold.swept)}")
        self.environ.update(self.servers.environ())
        check_port("the web process", settings.port, "PORT")
        self.share()
        self.migrate()
        lines = {name: self.procfile[name] for name in PROCESSES}
        self.processes = Processes(self.folder, lines, self.environ, lambda: _ready(settings.port))
        self.processes.start()
        self.wait_ready()
        self.greet()

    def ports(self, web: int) -> dict[str, int]:
        """The servers that have to be ours, with their ports, once each port is one that this user may use."""
        needed = [(n, name) for n, (variable, name) in enumerate(OURS.items(), 1) if not self.environ.get(variable)]
        behind = [n for n, name in needed if not self.environ.get(f"{name.upper()}_PORT")]
        most = 65535 - max(behind, default=0)
        if not 1 <= web <= most:
            why = ", as its servers take the ports behind it" if behind else ""
            raise BootError(f"PORT {web} is not acceptable: expected 1 to {most}{why}")
        check_right("the web process", web, "PORT")
        ports = {name: self.port(f"{name.upper()}_PORT", web + n) for n, name in needed}
        for name, port in ports.items():
            check_right(name, port, f"{name.upper()}_PORT")
        return ports

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

    def wait_ready(self) -> None:
        assert self.processes
        deadline = time.monotonic() + PATIENCE
        while not self.processes.ready("web"):
            self.look()
            if time.monotonic() > deadline:
                raise Leave(1, f"the board was not ready within {PATIENCE:.0f} seconds; see above")
            time.sleep(0.1)

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
        """Start again what has died; leave when whoever started us has gone."""
        assert self.servers and self.processes
        if _told:
            raise _told[-1]
        if "MAKELEVEL" in os.environ and os.getppid() != self.parent:
            raise Leave(1, "make is gone, so this stops too")
        for server in self.servers.each:
            if not server.alive:
                say(f"{server.title} ended; starting it again")
                server.start()
        self.processes.look()

    def stop(self) -> None:
        if self.processes:
            self.processes.stop()
        if self.servers:
            (self.folder / "environ.json").unlink(missing_ok=True)
            self.servers.stop()


_told: list[Leave] = []
"""That somebody told us to leave: what is raised into whatever was under way may be lost there."""


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    _told.append(Leave(0 if number == signal.SIGINT else 128 + number))
    raise _told[-1]


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
    addresses = folder / "environ.json"
    if not leash.runner(folder) or not addresses.exists():
        print("pegboard: no board is running here: start it with make run, in another terminal", file=sys.stderr)
        return 1
    environ.update(json.loads(addresses.read_text()))
    os.execvpe(command[0], command, environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
