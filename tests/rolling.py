"""A rolling restart under load: a router as platforms have them, clients, and the account of what they asked for."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import secrets
import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 20.0


class Router:
    """Passes connections on to one backend after the other; one that refuses is passed over, never told to a client.

    It knows nothing of HTTP and is not told who is leaving: what a backend has accepted, that backend must answer.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.backends = [(str(urlsplit(url).hostname), int(urlsplit(url).port or 0)) for url in urls]
        self._turn = itertools.count()
        self.refused = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, self._connect() as backend:
            ends = {client: backend, backend: client}
            while True:
                for source in select.select(list(ends), [], [], PATIENCE)[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    ends[source].sendall(data)

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(self.backends[next(self._turn) % len(self.backends)], timeout=PATIENCE)
            except ConnectionRefusedError:
                self.refused += 1
                assert time.monotonic() < deadline, "no backend listens"
                time.sleep(0.01)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Client(threading.Thread):
    """Puts books on the shelf and reads them, until told to stop; what fails is not tried again, but see ``_ask``."""

    def __init__(self, port: int, token: str, *, keeps: bool, pause: float = 0.02) -> None:
        super().__init__(daemon=True)
        self.port, self.keeps, self.pause = port, keeps, pause
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.books: dict[str, str] = {}
        self.answered: Counter[int] = Counter()
        self.failures: list[str] = []
        self.crossed = 0
        self.ended = threading.Event()
        self._open: http.client.HTTPConnection | None = None

    def run(self) -> None:
        while not self.ended.wait(self.pause):
            try:
                self._round()
            except (OSError, http.client.HTTPException) as exc:
                self.failures.append(f"{type(exc).__name__}: {exc}")
                self._hang_up()
        self._hang_up()

    def _round(self) -> None:
        title = f"book {secrets.token_hex(8)}"
        made = self._ask("POST", "/api/shelf/books", json.dumps({"title": title}).encode())
        if made:
            self.books[made["id"]] = title
        self._ask("GET", "/api/shelf/books?limit=3")

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        headers = self.headers | ({"Idempotency-Key": secrets.token_hex(16)} if body else {})
        connection, kept = self._connection()
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # On one that was kept, the server's hanging up and our request may cross on their way: no client takes
            # that for an answer, and the key sees to it that nothing is done twice. On a fresh one it is a failure.
            if not kept:
                raise
            self.crossed += 1
            self._hang_up()
            connection, _ = self._connection()
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
        said = reply.read()
        self.answered[reply.status] += 1
        if reply.status not in (200, 201):
            self.failures.append(f"{method} {path}: {reply.status} {said[:300]!r}")
            return None
        if not self.keeps:
            self._hang_up()
        return json.loads(said)

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """The connection that is open, if it still is, or a new one; whether it has been used before."""
        if self._open and self._open.sock is None:  # the last reply ended it
            self._open = None
        if self._open and self._open.sock and select.select([self._open.sock], [], [], 0)[0]:
            self._hang_up()
        if self._open is not None:
            return self._open, True
        self._open = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        return self._open, False

    def _hang_up(self) -> None:
        if self._open:
            self._open.close()
            self._open = None


def register(port: int) -> str:
    """A new account's access token."""
    email = f"alice+{secrets.token_hex(6)}@example.com"
    body = {"email": email, "password": "correct horse battery", "display_name": "Alice"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request(
            "POST", "/api/auth/register", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        reply = connection.getresponse()
        said = reply.read()
    assert reply.status == 201, said
    return str(json.loads(said)["access_token"])


def start(*processes: Any) -> None:
    for process in processes:
        process.start()
    for process in processes:
        process.wait_ready()


def leave(*processes: Any) -> float:
    """SIGTERM to all of them; seconds until the last one has left, each in good order."""
    began = time.monotonic()
    for process in processes:
        os.kill(process.pid, signal.SIGTERM)
    for process in processes:
        assert process.ended(40) == 0, process.log()
    return time.monotonic() - began


def roll(*groups: Sequence[Any]) -> float:
    """Stop and start each group in turn; the longest that one took to leave."""
    longest = 0.0
    for group in groups:
        longest = max(longest, leave(*group))
        start(*group)
    return longest


def lost(database: Any, books: dict[str, str]) -> list[str]:
    """What should have been done for each book and was not (yet): its task, and its durable listener."""
    marks = {row[0] for row in database.execute("select note from shelf_marks").fetchall()}
    wanted = {f"counted {book}" for book in books} | {f"remembered {title}" for title in books.values()}
    return sorted(wanted - marks)
