"""Stores behind TLS with certificates that nobody has signed, as platforms hand them out."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask
from fleet import ask_once, eventually

from core.data import redis
from core.ops.processes import ROOT, Process
from core.ops.testbed import TestServers

StartProcess = Callable[..., Process]
BODY = b'{"email": "alice@example.com", "password": "correct horse battery", "display_name": "Alice"}'


def certify(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "server.crt", folder / "server.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.touch(mode=0o600)
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return certificate, secret


class Tunnel:
    """Ends TLS before a server that has none of its own: the wheels' PostgreSQL and Valkey are built without."""

    def __init__(self, url: str, folder: Path) -> None:
        self.place = urlsplit(url)
        self.certificate, key = certify(folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.served = 0
        self.open: list[socket.socket] = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, scheme: str) -> str:
        return f"{scheme}://{self.place.username}:{self.place.password}@127.0.0.1:{self.port}{self.place.path}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self.place.scheme == "postgresql" and not _asks_for_tls(client):
                return
            with (
                self.context.wrap_socket(client, server_side=True) as safe,
                socket.create_connection((str(self.place.hostname), self.place.port or 0)) as server,
            ):
                self.served += 1
                self.open += [safe, server]
                answers = threading.Thread(target=_pump, args=(server, safe), daemon=True)
                answers.start()
                _pump(safe, server)
                answers.join(5)

    def close(self) -> None:
        for one in self.open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _asks_for_tls(client: socket.socket) -> bool:
    """PostgreSQL's SSLRequest, answered; another kind of encryption is declined first, plain text is refused."""
    while True:
        match struct.unpack("!II", client.recv(8, socket.MSG_WAITALL)):
            case (8, 80877103):
                client.sendall(b"S")
                return True
            case (8, 80877104):
                client.sendall(b"N")
            case _:
                return False


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


Dig = Callable[[str], Tunnel]


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[Dig]:
    """``tunnel(url)``: TLS before the server that ``url`` names."""
    with contextlib.ExitStack() as stack:

        def dig(url: str) -> Tunnel:
            made = Tunnel(url, tmp_path)
            stack.callback(made.close)
            return made

        yield dig


def test_a_self_signed_redis_serves_a_whole_board(process: StartProcess, servers: TestServers, tunnel: Dig) -> None:
    """In gevent's processes, where TLS is patched too."""
    safe = tunnel(servers.redis_url)
    told = {"REDIS_URL": safe.url("rediss"), "REDIS_TLS_VERIFY": "0"}
    web, worker = process("web", **told), process("worker", **told)
    ready = json.loads(ask_once(web.url, "/readyz")[1])
    assert ready["checks"]["redis"]["state"] == "up"
    by_web = safe.served
    eventually(lambda: safe.served > by_web)
    ask_once(web.url, "/api/auth/register", BODY)
    eventually(lambda: "job done" in worker.log())
    assert "Redis is away" not in worker.log()


def test_what_is_not_to_be_trusted_is_refused_with_the_cure(
    board: Flask,
    servers: TestServers,
    tunnel: Dig,
    make_board: Callable[..., Flask],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from redis.exceptions import ConnectionError

    safe = tunnel(servers.redis_url)
    monkeypatch.setenv("REDIS_URL", safe.url("rediss"))
    monkeypatch.setenv("REDIS_TLS_VERIFY", "1")
    app = make_board("web")
    with app.app_context(), pytest.raises(ConnectionError) as refused:
        redis.client().ping()
    assert str(refused.value) == (
        f"the certificate of 127.0.0.1:{safe.port} is not to be trusted (self-signed certificate);"
        " where a platform hands out self-signed ones, REDIS_TLS_VERIFY=false accepts them"
    )
    assert safe.served == 0, "no password has been sent"
    ready = app.test_client().get("/readyz").get_json()
    assert (ready["status"], ready["checks"]["redis"]["state"]) == ("degraded", "down")
    app.extensions["pegboard.redis"].close()

    # A certificate that is signed by whom one trusts, or is named as trusted, passes.
    trusted = f"{safe.url('rediss')}?ssl_ca_certs={safe.certificate}"
    monkeypatch.setenv("REDIS_URL", trusted)
    other = make_board("web")
    with other.app_context():
        assert redis.client().ping()
    other.extensions["pegboard.redis"].close()


def test_a_self_signed_postgresql_is_migrated_and_used(
    process: StartProcess, servers: TestServers, tunnel: Dig
) -> None:
    """``sslmode=require`` encrypts and asks for no signature, as with the platforms' own databases."""
    safe = tunnel(servers.database_url)
    told = {"DATABASE_URL": f"{safe.url('postgres')}?sslmode=require"}
    upgrade = [sys.executable, "-m", "flask", "db", "upgrade"]
    done = subprocess.run(upgrade, cwd=ROOT, env={**os.environ, **told}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    by_command = safe.served
    assert by_command > 0
    web = process("web", **told)
    assert ask_once(web.url, "/api/auth/register", BODY)[0] == 201
    assert safe.served > by_command, "plain text has no way in"
