"""The servers of `make run` and the tests: they start, die and come back alone. `make run` itself: test_run.py."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pymongo
import pytest
import redis

from core.ops.embedded import Busy, PortTaken, Servers, listening, start
from core.ops.postgres import reachable

ROOT = Path(__file__).resolve().parents[2]


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
