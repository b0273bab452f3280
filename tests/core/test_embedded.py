"""The servers of `make run` and the tests: they start, die and come back alone, and nothing outlives its runner."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pymongo
import pytest
import redis

from core.ops import leash
from core.ops.embedded import Busy, PortTaken, Servers, free_port, listening, start
from core.ops.postgres import reachable

ROOT = Path(__file__).resolve().parents[2]

# Stands in for the board: these tests are about what runs it.
PROCFILE = """
release: test -n "$REDIS_URL"
web: python web.py
worker: sleep 600
scheduler: sleep 600
"""
WEB = """
import http.server, os

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ready).serve_forever()
"""


def until(what: Callable[..., Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return value


def write(servers: Servers) -> None:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("create table kept (word citext)")
        connection.execute("insert into kept values ('Row')")
    with redis.Redis.from_url(servers.redis_url) as store:
        store.set("kept", "key")
    with pymongo.MongoClient[dict[str, Any]](servers.mongodb_uri) as documents:
        documents.get_default_database().kept.insert_one({"kept": "document"})


def read(servers: Servers) -> tuple[Any, ...]:
    with psycopg.connect(servers.database_url) as connection:
        row = connection.execute("select word from kept where word = 'row'").fetchone()
    with redis.Redis.from_url(servers.redis_url) as store:
        key = store.get("kept")
    with pymongo.MongoClient[dict[str, Any]](servers.mongodb_uri) as documents:
        document = documents.get_default_database().kept.find_one({}, {"_id": 0})
    return row, key, document


KEPT = (("Row",), b"key", {"kept": "document"})


def test_they_die_and_come_back_with_their_data(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    servers = start(folder, durable=False)
    try:
        write(servers)
        for server in servers.each:
            before, url = server.pid, server.url
            server.kill()
            assert not server.alive
            assert not listening(server.port)
            server.start()
            assert (server.pid != before, server.url) == (True, url)
        assert read(servers) == KEPT
        pids = [server.pid for server in servers.each]
    finally:
        servers.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    assert not list(folder.glob("*.pid"))

    again = start(folder, durable=False)
    try:
        assert read(again) == KEPT
        assert not strangers_may(again)
    finally:
        again.remove()
    assert not [path for path in folder.iterdir() if path.is_dir()]


def strangers_may(servers: Servers) -> list[str]:
    """What should not be possible: a mighty role, Valkey without the password, a listener that others reach."""
    faults = []
    with psycopg.connect(servers.database_url) as connection:
        rights = "rolsuper or rolbypassrls or rolcreaterole or rolcreatedb"
        mighty = connection.execute(f"select {rights} from pg_roles where rolname = current_user").fetchone()
        extensions = connection.execute("select extname from pg_extension").fetchall()
    if mighty != (False,):
        faults.append("the role is no plain one")
    if not {("pg_trgm",), ("unaccent",), ("citext",)} <= set(extensions):
        faults.append("extensions are missing")
    with socket.create_connection(("127.0.0.1", servers.valkey.port if servers.valkey else 0)) as stranger:
        stranger.sendall(b"GET kept\r\n")
        if not stranger.recv(100).startswith(b"-NOAUTH"):
            faults.append("Valkey asks for no password")
    for server in servers.each:
        listeners = [each for each in psutil.Process(server.pid).net_connections() if each.status == psutil.CONN_LISTEN]
        if {each.laddr.ip for each in listeners} != {"127.0.0.1"}:
            faults.append(f"{server.title} listens on {listeners}")
    return faults


def test_a_port_that_is_taken_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} is taken, and Valkey needs it.*VALKEY_PORT="):
            start(tmp_path, durable=False, ports=(0, port, 0), only=("valkey",))
    start(tmp_path, durable=False, ports=(0, port, 0), only=("valkey",)).stop()


def test_a_folder_has_one_runner(tmp_path: Path) -> None:
    servers = start(tmp_path, durable=False, only=("valkey",))
    with pytest.raises(Busy):
        start(tmp_path, durable=False, only=("valkey",))
    other = [sys.executable, "-c", "import sys; from core.ops.leash import *; Hold(Path(sys.argv[1]))", str(tmp_path)]
    told = subprocess.run(other, cwd=ROOT, capture_output=True, text=True)
    assert f"is in use by process {os.getpid()}" in told.stderr
    assert servers.valkey
    assert servers.valkey.alive
    servers.stop()


def test_what_root_must_keep_elsewhere(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    assert reachable(Path("/usr/bin"), nobody)
    (tmp_path / "closed").mkdir(mode=0o700)
    assert not reachable(tmp_path / "closed" / "data", nobody)


class Runner:
    """`make run` without make, in a folder of its own whose name has a space."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "Procfile").write_text(PROCFILE)
        (folder / "web.py").write_text(WEB)
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
    assert len(family) >= 6  # leash, valkey, honcho, web, worker, scheduler
    board.popen.send_signal(number)
    until(lambda: all(map(leash.gone, family)))
    status = {signal.SIGINT: 0, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert board.popen.wait(5) == status[number]


def test_what_died_is_started_again(runner: Callable[..., Runner]) -> None:
    board = runner()
    board.says("Pegboard is ready")
    for name in ("valkey", "worker"):
        before = board.process(name)
        before.kill()
        until(lambda before=before: leash.gone(before))
        assert board.process(name) != before
    again = runner()
    again.says("it is running already")
    assert again.popen.wait(10) == 1


def test_a_run_that_was_killed_with_its_leash_is_tidied_up_by_the_next(runner: Callable[..., Runner]) -> None:
    board = runner()
    board.says("Pegboard is ready")
    family = board.family()
    next(process for process in family if "wait" in process.cmdline()).kill()
    board.popen.kill()
    assert not leash.gone(board.process("valkey"))
    again = runner()
    again.says("ended what an earlier run had left: honcho")
    again.says("Pegboard is ready")
    assert all(map(leash.gone, family))
