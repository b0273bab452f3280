"""Refreshing at length, on two processes: stampedes, a long walk, dropped replies; and how long a refusal takes."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher
from refreshing import PASSWORD, Line, post, refresh, register, rounds, stampede

from core.ops.processes import Process

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def web(process: Callable[..., Process]) -> Process:
    return process("web", WEB_CONCURRENCY="2", RATE_LIMIT="0", TRUSTED_PROXIES="1")


def test_a_hundred_stampedes_of_two_hundred_log_nobody_out(web: Process, superuser: psycopg.Connection[Any]) -> None:
    rounds(web.url, "alice@example.com", 100, 200)
    assert superuser.execute("select counter, revoked_at from auth_sessions").fetchall() == [(101, None)]


def test_every_replay_after_the_interval_ends_its_session(web: Process, superuser: psycopg.Connection[Any]) -> None:
    used = []
    for number in range(100):
        used.append(register(web.url, f"alice+{number}@example.com", f"10.0.0.{number}"))
        assert refresh(web.url, used[-1])[0] == 200
    superuser.execute("update auth_sessions set rotated_at = rotated_at - interval '11 seconds'")
    for token in used:
        assert stampede(web.url, token, 5) == {(401, "SESSION_COMPROMISED"): 5}
    ended = superuser.execute("select count(*) from auth_sessions where revoked_reason = 'reuse'").fetchone()
    assert ended == (100,)


def test_ten_thousand_refreshes_leave_a_row_a_session_and_dropped_replies_are_recovered(
    web: Process, superuser: psycopg.Connection[Any]
) -> None:
    def walk(number: int) -> None:
        token, line = register(web.url, f"alice+{number}@example.com"), Line(web.url)
        for step in range(1250):
            if step % 10 == 0:
                assert line.refresh(token)[0] == 200  # a reply that is dropped
            status, reply = line.refresh(token)
            assert status == 200, reply
            token = reply["refresh_token"]
        line.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(walk, range(8)))
    rows = superuser.execute("select counter, revoked_at from auth_sessions").fetchall()
    assert rows == [(1251, None)] * 8
    size = superuser.execute("select pg_relation_size('auth_sessions')").fetchone()
    assert size and size[0] <= 64 * 8192, f"{size[0]} bytes for eight rows: the versions before were not pruned"


# -- how long a refusal takes -----------------------------------------------------------------------------------------


def difference(web: Process, path: str, body: dict[str, Any], pairs: int) -> tuple[float, float]:
    """The 95 % interval, in ms, of the median difference between known and unknown addresses, asked in alternation."""
    line, apart = Line(web.url), []
    for number in range(pairs):
        took = {}
        kinds = ["known", "unknown"]
        random.shuffle(kinds)
        for kind in kinds:
            # Each address, and each caller, is met once: no limit and no waiting tells one from the other.
            forwarded = f"10.{kinds.index(kind)}.{number // 250}.{number % 250}"
            began = time.perf_counter()
            line.post(path, {**body, "email": f"{kind}{number}@example.com"}, forwarded)
            took[kind] = (time.perf_counter() - began) * 1000
        apart.append(took["known"] - took["unknown"])
    line.close()
    medians = sorted(statistics.median(random.choices(apart, k=len(apart))) for _ in range(1000))
    return medians[25], medians[975]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("login", {"password": "wrong horse battery"}),
        ("register", {"password": "another horse battery", "display_name": "Alice"}),
        ("password/forgot", {}),
    ],
)
def test_how_long_an_answer_takes_tells_nobody_who_has_an_account(
    process: Callable[..., Process], superuser: psycopg.Connection[Any], path: str, body: dict[str, Any]
) -> None:
    environ = {"WEB_CONCURRENCY": "2", "RATE_LIMIT": "0", "TRUSTED_PROXIES": "1", "AUTH_SIGNUP": "verify"}
    web = process("web", **environ)
    digest = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(PASSWORD)
    superuser.execute(
        "insert into auth_users"
        " (id, tenant_id, email, display_name, password_hash, active, must_reset, created_at, updated_at)"
        " select gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'known' || n || '@example.com', 'Known',"
        " %s, true, false, now(), now() from generate_series(0, 499) n",
        (digest,),
    )
    assert post(web.url, "/api/auth/login", {"email": "known0@example.com", "password": PASSWORD})[0] == 200
    low, high = difference(web, f"/api/auth/{path}", body, 500)
    print(f"{path}: known minus unknown, 95 % interval of the median: {low:+.2f} to {high:+.2f} ms")
    assert -2 < low <= high < 2
