"""Web, worker and scheduler are restarted one after the other under load: no request fails, no job is lost.

``tests/soak/test_rolling_restart.py`` does it longer, and as production.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from flask import Flask
from fleet import eventually
from rolling import Client, Router, leave, lost, register, roll

from core.ops.processes import Process


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_rolling_restart_loses_nothing(board: Flask, stack: ExitStack, superuser: psycopg.Connection[Any]) -> None:
    settings = {"RATE_LIMIT": "0", "SHELF_ROOM": "100000"}
    fleet = one, other, worker, scheduler = [Process(kind, settings) for kind in ("web", "web", "worker", "scheduler")]
    for process in fleet:
        stack.callback(process.close)
    for process in fleet:
        process.wait_ready()
    router = Router([one.url, other.url])
    token = register(router.port)
    clients = [Client(router.port, token, keeps=keeps) for keeps in (True, True, False, False)]
    for client in clients:
        client.start()
    try:
        longest = roll([one, worker], [other, scheduler])
    finally:
        for client in clients:
            client.ended.set()
        for client in clients:
            client.join(30)
    router.close()
    books = {book: title for client in clients for book, title in client.books.items()}
    assert [failure for client in clients for failure in client.failures] == []
    assert len(books) > 50
    assert longest < 25
    eventually(lambda: not lost(superuser, books), 40)
    leave(*fleet)
