"""Waiting after failures: longer each time, never for good, and never for whom the account knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from auth_helpers import PASSWORD, SignUp, code
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from plugins.auth.services import events
from plugins.auth.services.lockout import ANYWHERE, NETWORK, Seen, seconds_left

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOME, ABROAD = "192.0.2.1", "198.51.100.1"


def failed(network: str, number: int, seconds_ago: float = 0) -> list[Seen]:
    return [Seen(events.LOG_IN_FAILED, network, NOW - timedelta(seconds=seconds_ago)) for _ in range(number)]


def came(network: str, kind: str = events.LOGGED_IN) -> list[Seen]:
    return [Seen(kind, network, NOW - timedelta(hours=1))]


def test_waiting_doubles_and_has_a_top() -> None:
    waits = [NETWORK.wait(failures) for failures in (0, 4, 5, 6, 7, 8, 9, 10, 50, 10_000)]
    assert waits == [0, 0, 30, 60, 120, 240, 480, 900, 900, 900]
    assert [ANYWHERE.wait(failures) for failures in (19, 20, 21, 100)] == [0, 30, 60, 300]


@pytest.mark.parametrize(
    ("latest", "caller", "expected"),
    [
        ([], HOME, 0),
        (failed(HOME, 4), HOME, 0),
        (failed(HOME, 5), HOME, 30),
        (failed(HOME, 5, 10), HOME, 20),
        (failed(HOME, 5, 31), HOME, -1),
        (failed(HOME, 5), ABROAD, 0),
        (failed(HOME, 5) + came(HOME), HOME, 30),
        (came(HOME) + failed(HOME, 5), HOME, 0),
        (failed(HOME, 20), ABROAD, 30),
        (failed(HOME, 100), ABROAD, 300),
        (failed(HOME, 100) + came(ABROAD), ABROAD, 0),
        (came(HOME, events.PASSWORD_RESET) + failed(HOME, 100), HOME, 0),
        (came(HOME, events.PASSWORD_RESET) + failed(HOME, 100), ABROAD, 0),
    ],
)
def test_how_long_whom(latest: list[Seen], caller: str, expected: float) -> None:
    assert seconds_left(latest, caller, NOW) == expected


def attempt(board: Flask, password: str, ip: str = HOME, address: str = "alice@example.com") -> TestResponse:
    client = board.test_client()
    client.environ_base["REMOTE_ADDR"] = ip
    return client.post("/api/auth/login", json={"email": address, "password": password})


def later(superuser: psycopg.Connection[Any], seconds: float) -> None:
    superuser.execute("update auth_events set created_at = created_at - %s * interval '1 second'", (seconds,))


@pytest.mark.parametrize("address", ["alice@example.com", "nobody@example.com"])
def test_five_failures_make_one_wait_whether_or_not_there_is_an_account(
    board: Flask, sign_up: SignUp, superuser: psycopg.Connection[Any], hashes: list[str], address: str
) -> None:
    sign_up()
    for _ in range(5):
        assert code(attempt(board, "wrong horse", address=address)) == (401, "INVALID_CREDENTIALS")
    refused = attempt(board, PASSWORD, address=address)
    assert code(refused) == (429, "TOO_MANY_ATTEMPTS")
    assert 25 <= int(refused.headers["Retry-After"]) <= 30
    assert len(hashes) == 5, "the password is not even looked at"
    assert superuser.execute("select count(*) from auth_events where kind = 'log_in_failed'").fetchone() == (5,)
    later(superuser, 31)
    assert attempt(board, PASSWORD, address=address).status_code == (200 if address.startswith("alice") else 401)


def test_a_stranger_keeps_the_owner_out_of_nothing(
    board: Flask, sign_up: SignUp, superuser: psycopg.Connection[Any]
) -> None:
    sign_up()
    assert attempt(board, PASSWORD, HOME).status_code == 200
    user = "(select id from auth_users)"
    superuser.execute(
        "insert into auth_events"
        " (id, tenant_id, user_id, kind, account, ip, user_agent, details, created_at, updated_at)"
        f" select gen_random_uuid(), '00000000-0000-7000-8000-000000000001', {user}, 'log_in_failed',"
        " 'alice@example.com', '203.0.113.' || n % 200, '', '{}', now(), now() from generate_series(1, 500) n"
    )
    assert code(attempt(board, PASSWORD, "203.0.113.250")) == (429, "TOO_MANY_ATTEMPTS")
    assert attempt(board, PASSWORD, HOME).status_code == 200, "from where the account was signed in to"


def test_guessing_the_password_of_a_session_that_was_found_open_counts_too(
    client: FlaskClient, sign_up: SignUp
) -> None:
    mine = {"Authorization": f"Bearer {sign_up()['access_token']}"}
    body = {"current_password": "wrong horse", "new_password": "another horse battery"}
    answers = [code(client.post("/api/auth/password", json=body, headers=mine)) for _ in range(6)]
    assert answers == [(403, "WRONG_PASSWORD")] * 5 + [(429, "TOO_MANY_ATTEMPTS")]
