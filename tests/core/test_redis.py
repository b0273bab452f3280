"""The one pool of a process, the names of keys, and scripts, on a real server behind a cable with faults."""

import datetime
import ipaddress
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis as library
from flask import Flask
from redis_cable import Cable, bare, end

from core.contracts import Tenant
from core.data import redis
from core.data.redis import connections
from core.data.tenancy import acting_in
from core.errors import BootError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cable(servers: Any) -> Iterator[Cable]:
    with Cable(servers.redis_url) as laid:
        yield laid


@pytest.fixture
def here(servers: Any) -> Iterator[Flask]:
    app = bare(servers.redis_url)
    with app.app_context():
        redis.client().flushdb()
        redis.clear_caches()
        yield app


def pooled() -> Any:
    return redis.client().connection_pool


# -- keys -------------------------------------------------------------------------------------------------------


def test_keys_belong_to_the_tenant() -> None:
    tenant = Tenant(uuid.uuid4(), "acme", "Acme")
    with acting_in(tenant):
        assert redis.key("chat", "rooms", 7) == f"pb:{tenant.id}:chat:rooms:7"
    assert redis.board_key("duties", "sweep") == "pb:-:duties:sweep"
    with pytest.raises(LookupError):
        redis.key("chat", "rooms")


def test_no_part_of_a_key_can_pretend_to_be_two() -> None:
    parts = [("a:b",), ("a", "b"), ("a%3Ab",), ("a%253Ab",), ("a:", "b"), ("a", ":b")]
    assert len({redis.board_key(*each) for each in parts}) == len(parts)
    assert redis.board_key("ip", "::1").count(":") == 3


# -- the pool ---------------------------------------------------------------------------------------------------


def test_one_pool_for_all_who_name_the_same_server(here: Flask, servers: Any) -> None:
    mine = redis.client()
    with bare(servers.redis_url).app_context():
        assert redis.client() is mine
    mine.set("greeting", "grüß")
    assert mine.get("greeting") == "grüß".encode()


def test_boot_connects_to_nothing(cable: Cable) -> None:
    redis.on_notice("test.boot", lambda key: None)
    with bare(cable.url()).app_context():
        assert cable.accepted == 0
        redis.client()
        assert redis.client().ping()


def test_the_pool_is_bounded_and_waits(here: Flask) -> None:
    app, connection_pool = here, pooled()

    def use(number: int) -> Any:
        with app.app_context():
            return redis.client().blpop("nothing", timeout=0.05)

    with ThreadPoolExecutor(4 * connections.POOL) as many:
        assert list(many.map(use, range(4 * connections.POOL))) == [None] * (4 * connections.POOL)
    assert len(connection_pool._connections) <= connections.POOL


def test_nothing_waits_for_ever(cable: Cable) -> None:
    with bare(cable.url()).app_context():
        options = redis.client().connection_pool.connection_kwargs
        assert (options["socket_connect_timeout"], options["socket_timeout"]) == (1.0, 2.0)
    with bare(cable.url("socket_timeout=0.2")).app_context():
        assert redis.client().connection_pool.connection_kwargs["socket_timeout"] == 0.2
        redis.client().ping()
        cable.frozen = True
        with pytest.raises(library.TimeoutError):
            redis.client().ping()


def test_a_write_is_never_repeated(cable: Cable, here: Flask) -> None:
    with bare(cable.url()).app_context():
        redis.client().ping()
        cable.muted = True
        for command in (lambda store: store.incr("n"), lambda store: store.pipeline().incr("p").execute()):
            with pytest.raises(library.ConnectionError):
                command(redis.client())
            cable.muted = False
            redis.client().ping()
            cable.muted = True
    assert (redis.client().get("n"), redis.client().get("p")) == (b"1", b"1")


def test_connections_that_a_restart_broke_are_replaced_unseen(cable: Cable) -> None:
    with bare(cable.url()).app_context():
        redis.client().ping()
        cable.cut()
        with pytest.raises(library.ConnectionError):
            redis.client().ping()
        cable.mend()
        assert redis.client().ping()
        for each in list(cable.ends):
            end(each)
        assert redis.client().ping()


def test_a_connection_that_died_silently_while_idle_is_replaced(cable: Cable, here: Flask) -> None:
    with bare(cable.url("socket_timeout=0.2")).app_context():
        store = redis.client()
        store.ping()
        (connection,) = pooled()._connections
        connection.next_health_check = time.monotonic() - 1
        silent, far = socket.socketpair()
        silent.settimeout(0.2)
        with far:
            connection._sock.close()
            connection._sock = connection._parser._sock = silent
            assert store.incr("once") == 1


@pytest.mark.parametrize("read", [False, True])
def test_a_connection_on_which_something_is_left_is_not_used_again(here: Flask, read: bool) -> None:
    client = redis.dedicated(2.0)
    connection = client.connection_pool.get_connection()
    for text in ("old", "older"):
        connection.send_command("ECHO", text)
    if read:  # both came with one packet, and the second lies in the parser
        time.sleep(0.1)
        assert connection.read_response() == b"old"
    client.connection_pool.release(connection)
    time.sleep(0.1)
    assert client.echo("new") == b"new"
    client.close()


def test_an_unusable_address_stops_the_boot_and_is_not_shown() -> None:
    for url in ("http://x:hunter2@h/0", "redis://:hunter2@h:port/0", "", "localhost:6379"):
        with pytest.raises(BootError) as caught:
            bare(url)
        assert "REDIS_URL" in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_a_dedicated_client_may_block_longer(here: Flask) -> None:
    own = redis.dedicated(socket_timeout=30)
    assert own.ping()
    assert own.connection_pool is not redis.client().connection_pool
    assert own.connection_pool.connection_kwargs["socket_timeout"] == 30
    own.close()


def test_tls(servers: Any, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path))
    with Cable(servers.redis_url, context) as cable:
        with bare(cable.url()).app_context(), pytest.raises(library.ConnectionError, match="is not to be trusted"):
            redis.client().ping()
        with bare(cable.url(), verify_tls=False).app_context():
            assert redis.client().ping()


def _self_signed(folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    return path


def test_scripts(here: Flask) -> None:
    add = redis.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert redis.script("return redis.call('INCRBY', KEYS[1], ARGV[1])") is add
    assert [add(["sum"], [2]), add(["sum"], [3])] == [2, 5]
    redis.client().script_flush()
    assert add(["sum"], [4]) == 9
    with pytest.raises(library.ResponseError):
        redis.script("return nonsense(")()


def run(code: str, *arguments: str) -> str:
    """Run a script in a Python of its own and give what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK = """
import os, sys
sys.path.insert(0, "tests/core")
from redis_cable import bare
from core.data import redis
app = bare(sys.argv[1])
with app.app_context():
    roles = redis.NoticedCache("test.fork")
    before = redis.client().client_id()
    roles.get("k", lambda: 1)
    pid = os.fork()
    if pid == 0:
        after = redis.client().client_id()
        assert after != before, "the child uses its parent's connection"
        while not redis.notices_live():
            roles.get("k", lambda: 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert redis.client().client_id() == before, "the child closed its parent's connection"
    print("apart")
"""


def test_a_fork_gets_a_pool_and_a_subscription_of_its_own(servers: Any) -> None:
    assert run(FORK, servers.redis_url) == "apart\n"


GEVENT = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
sys.path.insert(0, "tests/core")
from redis_cable import bare
from core.data import redis
app = bare(sys.argv[1])
def use(n):
    with app.app_context():
        redis.client().blpop("nothing", timeout=0.05)
        return redis.client().incr("gevent")
ticks = []
def tick():
    while True:
        ticks.append(1); gevent.sleep(0.01)
gevent.spawn(tick)
with app.app_context():
    redis.client().delete("gevent")
    jobs = [gevent.spawn(use, n) for n in range(40)]
    gevent.joinall(jobs, timeout=20, raise_error=True)
    assert sorted(job.value for job in jobs) == list(range(1, 41))
    assert len(redis.client().connection_pool._connections) <= 10
    roles = redis.NoticedCache("test.gevent")
    while not redis.notices_live():
        roles.get("k", lambda: 1); gevent.sleep(0.01)
    assert len(ticks) > 10
    print("turns")
"""


def test_under_gevent_others_get_their_turn(servers: Any) -> None:
    assert run(GEVENT, servers.redis_url) == "turns\n"
