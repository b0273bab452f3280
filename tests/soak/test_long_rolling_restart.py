"""The rolling restart of ``tests/ops``, for longer: several rounds, more clients, two workers a web process, twice the
job workers; as in production, where a leaving process lingers, and as in development, where it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from rolling import Client, Router, lost, register, roll

from core.ops.processes import Process
from core.ops.servers import free_port

ROUNDS = 4
CLIENTS = 12


@pytest.mark.timeout(900)
@pytest.mark.parametrize("app_env", ["production", "development"])
def test_many_rounds_lose_nothing(
    app_env: str, process: Callable[..., Process], superuser: psycopg.Connection[Any]
) -> None:
    settings = {"APP_ENV": app_env, "RATE_LIMIT": "0", "SHELF_ROOM": "1000000", "WEB_CONCURRENCY": "2"}
    settings |= {"API_URL": "https://board.example.com"}

    def web() -> Process:
        port = str(free_port())  # production would listen everywhere, and tests open no door to others
        return process("web", PORT=port, GUNICORN_CMD_ARGS=f"--bind 127.0.0.1:{port}", **settings)

    webs = [web(), web()]
    others = [process(kind, **settings) for kind in ("worker", "worker", "scheduler")]
    router = Router([one.url for one in webs])
    token = register(router.port)
    clients = [Client(router.port, token, keeps=number % 2 == 0) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        longest = max(roll(*([each] for each in (*webs, *others))) for _ in range(ROUNDS))
    finally:
        for client in clients:
            client.ended.set()
        for client in clients:
            client.join(60)
    router.close()
    books = {book: title for client in clients for book, title in client.books.items()}
    requests = sum(sum(client.answered.values()) for client in clients)
    deadline = time.monotonic() + 120
    while left := lost(superuser, books):
        assert time.monotonic() < deadline, left[:10]
        time.sleep(0.2)
    failures = [failure for client in clients for failure in client.failures]
    print(
        f"{app_env}: {ROUNDS} rounds, {requests} requests, {len(failures)} failed, {2 * len(books)} jobs, 0 lost,"
        f" {sum(client.crossed for client in clients)} asked again on a kept connection,"
        f" {router.refused} connections passed on to the next, longest leave {longest:.1f} s"
    )
    assert failures == []
    assert longest < 25
