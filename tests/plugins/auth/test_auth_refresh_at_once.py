"""Two processes, one PostgreSQL, and many who come with the same token."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from refreshing import PASSWORD, post, refresh, register, rounds, stampede
from throwaway import eventually

from core.ops.processes import Process


@pytest.fixture
def web(process: Callable[..., Process]) -> Process:
    return process("web", WEB_CONCURRENCY="2", RATE_LIMIT="0")


def test_two_hundred_at_once_get_one_successor(web: Process, superuser: psycopg.Connection[Any]) -> None:
    rounds(web.url, "alice@example.com", 5, 200)
    assert superuser.execute("select counter, revoked_at from auth_sessions").fetchall() == [(6, None)]


def test_of_many_copies_after_the_interval_every_one_is_refused_and_one_ends_the_session(
    web: Process, superuser: psycopg.Connection[Any]
) -> None:
    used = register(web.url, "alice@example.com")
    current = refresh(web.url, used)[1]["refresh_token"]
    superuser.execute("update auth_sessions set rotated_at = rotated_at - interval '11 seconds'")
    assert stampede(web.url, used, 50) == {(401, "SESSION_COMPROMISED"): 50}
    assert refresh(web.url, current)[1]["code"] == "SESSION_COMPROMISED"
    assert superuser.execute("select count(*) from auth_events where kind = 'reuse_detected'").fetchone() == (1,)


def test_dropped_replies_are_all_recovered(web: Process) -> None:
    """Each asks twice, as whoever never saw the first answer does, and goes on with the second."""

    def walk(number: int) -> int:
        token, recovered = register(web.url, f"alice+{number}@example.com"), 0
        for _ in range(25):
            assert refresh(web.url, token)[0] == 200  # dropped
            status, reply = refresh(web.url, token)
            assert status == 200, reply
            token, recovered = reply["refresh_token"], recovered + 1
        return recovered

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(walk, range(8))) == 200


def test_a_revocation_bites_in_every_process(web: Process) -> None:
    register(web.url, "alice@example.com")
    _, mine = post(web.url, "/api/auth/login", {"email": "alice@example.com", "password": PASSWORD})
    parts = urlsplit(web.url)
    headers = {"Authorization": f"Bearer {mine['access_token']}"}

    def me() -> int:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            connection.request("GET", "/api/auth/me", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    # A connection is one process's: enough of them meet both, and each remembers that the session stands.
    assert {me() for _ in range(30)} == {200}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request("DELETE", f"/api/auth/sessions/{mine['session_id']}", headers=headers)
    assert connection.getresponse().status == 204
    connection.close()
    # By a notice: what a process remembers would stand for a minute.
    eventually(lambda: {me() for _ in range(30)} == {401})
    assert refresh(web.url, mine["refresh_token"])[1]["code"] == "SESSION_ENDED"
