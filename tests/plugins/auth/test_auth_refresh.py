"""Refreshing: once each, again after a lost reply, and never for a copy."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from auth_helpers import SignUp, bearer, code
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from core.data import DEFAULT, PLATFORM
from core.data.models import new_id
from plugins.auth import refresh_tokens
from plugins.auth.refresh_tokens import RefreshToken

SHAPE = re.compile(r"pbr1\.[0-9a-f]{32}\.[0-9a-f]{32}\.[1-9][0-9]*\.[0-9a-f]{8}\.[A-Za-z0-9_-]{43}")

Superuser = psycopg.Connection[Any]


def refresh(client: FlaskClient, token: str, **headers: str) -> TestResponse:
    return client.post("/api/auth/refresh", json={"refresh_token": token}, headers=headers)


def past(superuser: Superuser, seconds: float) -> None:
    """Let time pass for every session."""
    superuser.execute("update auth_sessions set rotated_at = rotated_at - %s * interval '1 second'", (seconds,))


def counters(superuser: Superuser) -> list[tuple[int, str | None]]:
    return superuser.execute("select counter, revoked_reason from auth_sessions order by id").fetchall()


def stands(client: FlaskClient, access: str) -> bool:
    return client.get("/api/auth/me", headers=bearer(access)).status_code == 200


def test_a_token_has_the_promised_form_and_replies_the_log_ins_shape(client: FlaskClient, sign_up: SignUp) -> None:
    first = sign_up()
    assert SHAPE.fullmatch(first["refresh_token"])
    assert first["refresh_token"].split(".")[1:4] == [DEFAULT.id.hex, first["session_id"].replace("-", ""), "1"]
    reply = refresh(client, first["refresh_token"])
    assert reply.status_code == 200
    second = reply.get_json()
    assert set(second) == set(first)
    assert (second["session_id"], second["user"]) == (first["session_id"], first["user"])
    assert second["refresh_token"].split(".")[3] == "2"
    assert stands(client, second["access_token"])
    assert stands(client, first["access_token"]), "the access token before lives out its time"


def test_a_session_is_one_row_however_often_it_is_refreshed(
    client: FlaskClient, sign_up: SignUp, superuser: Superuser
) -> None:
    token = sign_up()["refresh_token"]
    for _ in range(50):
        token = refresh(client, token).get_json()["refresh_token"]
    assert counters(superuser) == [(51, None)]


def test_nothing_in_the_row_makes_a_token(client: FlaskClient, sign_up: SignUp, superuser: Superuser) -> None:
    token = sign_up()["refresh_token"]
    (row,) = superuser.execute("select s::text from auth_sessions s").fetchone() or ("",)
    assert token.rpartition(".")[2] not in row


def test_a_lost_reply_is_recovered_by_asking_again(client: FlaskClient, sign_up: SignUp, superuser: Superuser) -> None:
    token = sign_up()["refresh_token"]
    lost = refresh(client, token).get_json()
    again = refresh(client, token)
    assert again.status_code == 200
    assert again.get_json()["refresh_token"] == lost["refresh_token"], "the current one, and no successor of it"
    assert counters(superuser) == [(2, None)]
    assert refresh(client, again.get_json()["refresh_token"]).status_code == 200


def test_after_the_interval_a_used_token_ends_the_session(
    client: FlaskClient, sign_up: SignUp, superuser: Superuser, run_jobs: Callable[[], int]
) -> None:
    first = sign_up()
    second = refresh(client, first["refresh_token"]).get_json()
    past(superuser, 11)
    reply = refresh(client, first["refresh_token"], **{"User-Agent": "thief/1.0"})
    assert code(reply) == (401, "SESSION_COMPROMISED")
    assert counters(superuser) == [(2, "reuse")], "it is revoked although the answer is a refusal"
    for token in (first["refresh_token"], second["refresh_token"]):
        assert code(refresh(client, token)) == (401, "SESSION_COMPROMISED")
    for token in (first["access_token"], second["access_token"]):
        assert code(client.get("/api/auth/me", headers=bearer(token))) == (401, "TOKEN_INVALID")
    events = superuser.execute(
        "select kind, ip, user_agent, details->>'reason' from auth_events where kind = 'reuse_detected'"
    ).fetchall()
    assert events == [
        ("reuse_detected", "127.0.0.1", "thief/1.0", "a refresh token that had been used was presented again")
    ]
    run_jobs()
    told = superuser.execute("select kind, text from core_notifications where kind like '%%compromised'").fetchall()
    assert len(told) == 1 and "thief/1.0" in told[0][1]


def test_within_the_interval_only_the_parent_is_forgiven(
    client: FlaskClient, sign_up: SignUp, superuser: Superuser
) -> None:
    first = sign_up()["refresh_token"]
    second = refresh(client, first).get_json()["refresh_token"]
    refresh(client, second)
    assert code(refresh(client, first)) == (401, "SESSION_COMPROMISED")
    assert counters(superuser) == [(3, "reuse")]


def test_the_interval_begins_at_the_use_and_asking_again_does_not_stretch_it(
    client: FlaskClient, sign_up: SignUp, superuser: Superuser
) -> None:
    first = sign_up()["refresh_token"]
    refresh(client, first)
    past(superuser, 6)
    assert refresh(client, first).status_code == 200
    past(superuser, 6)
    assert code(refresh(client, first)) == (401, "SESSION_COMPROMISED")


def test_one_session_ends_and_the_others_stay(client: FlaskClient, sign_up: SignUp, superuser: Superuser) -> None:
    first = sign_up()
    other = client.post("/api/auth/login", json={"email": "alice@example.com", "password": "correct horse battery"})
    refresh(client, first["refresh_token"])
    past(superuser, 11)
    refresh(client, first["refresh_token"])
    assert refresh(client, other.get_json()["refresh_token"]).status_code == 200


# -- what was never issued ----------------------------------------------------------------------------------------


def forged(board: Flask, tenant: Any, session: Any, counter: int, secret: str | None = None) -> str:
    with board.app_context():
        token = refresh_tokens.mint(RefreshToken(tenant, session, counter))
    if secret is None:
        return token
    return token.rpartition(".")[0] + "." + secret


def test_garbage_is_a_plain_401_and_ends_nothing(
    board: Flask, client: FlaskClient, sign_up: SignUp, superuser: Superuser
) -> None:
    from uuid import UUID

    mine = sign_up()
    token, session = mine["refresh_token"], UUID(mine["session_id"])
    parts = token.split(".")
    lax = parts[5][:-1] + chr(ord(parts[5][-1]) + 1)
    bad = [
        "",
        "x",
        "pbr1",
        mine["access_token"],
        token + "=",
        token + "\n",
        " " + token,
        token.upper(),
        token[:-1],
        ".".join([*parts[:5], lax]),
        ".".join([*parts[:3], "01", *parts[4:]]),
        ".".join([*parts[:3], "0", *parts[4:]]),
        ".".join([*parts[:3], "-1", *parts[4:]]),
        ".".join([*parts[:3], "9" * 18, *parts[4:]]),
        ".".join([*parts[:4], "00000000", parts[5]]),
        ".".join(["pbr2", *parts[1:]]),
        ".".join([parts[0], PLATFORM.id.hex, *parts[2:]]),
        ".".join([*parts[:2], new_id().hex, *parts[3:]]),
        forged(board, DEFAULT.id, session, 1, "A" * 43),
        forged(board, DEFAULT.id, new_id(), 1),
        forged(board, DEFAULT.id, session, 2),
        forged(board, PLATFORM.id, session, 1),
        base64.b64encode(token.encode()).decode()[:290],
    ]
    for text in bad:
        assert code(refresh(client, text)) == (401, "TOKEN_INVALID"), text
    for body in ({"refresh_token": 7}, {"refresh_token": "x" * 4097}, {"refresh_token": token, "user_id": "x"}):
        assert code(client.post("/api/auth/refresh", json=body)) == (422, "VALIDATION_FAILED")
    assert code(client.post("/api/auth/refresh", json={})) == (401, "TOKEN_MISSING")
    assert counters(superuser) == [(1, None)]
    assert refresh(client, token).status_code == 200


def test_a_refresh_token_opens_no_door_but_its_own(client: FlaskClient, sign_up: SignUp) -> None:
    mine = sign_up()
    assert code(client.get("/api/auth/me", headers=bearer(mine["refresh_token"]))) == (401, "TOKEN_INVALID")
    assert code(refresh(client, mine["access_token"])) == (401, "TOKEN_INVALID")


def test_another_tenants_name_beside_the_token_is_refused(client: FlaskClient, sign_up: SignUp) -> None:
    token = sign_up()["refresh_token"]
    assert code(refresh(client, token, **{"X-Tenant-ID": "platform"})) == (403, "TENANT_MISMATCH")
    assert refresh(client, token, **{"X-Tenant-ID": "default"}).status_code == 200


# -- what has ended -----------------------------------------------------------------------------------------------


def test_an_idle_session_has_run_out(client: FlaskClient, sign_up: SignUp, superuser: Superuser) -> None:
    token = sign_up()["refresh_token"]
    past(superuser, 7 * 86400 + 1)
    assert code(refresh(client, token)) == (401, "TOKEN_EXPIRED")
    assert counters(superuser) == [(1, None)]


def test_a_session_ends_at_its_absolute_limit_however_it_is_used(
    client: FlaskClient, sign_up: SignUp, superuser: Superuser
) -> None:
    mine = sign_up()
    (days,) = superuser.execute("select extract(days from expires_at - created_at) from auth_sessions").fetchone() or ()
    assert int(days) in (29, 30)
    superuser.execute("update auth_sessions set expires_at = now()")
    assert code(refresh(client, mine["refresh_token"])) == (401, "TOKEN_EXPIRED")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("update auth_users set active = false", "SESSION_ENDED"),
        ("update auth_users set must_reset = true", "SESSION_ENDED"),
        ("update auth_sessions set revoked_at = now(), revoked_reason = 'revoked'", "SESSION_ENDED"),
        ("delete from auth_users", "TOKEN_INVALID"),
    ],
)
def test_what_ends_a_session_ends_its_refreshing(
    client: FlaskClient, sign_up: SignUp, superuser: Superuser, change: str, expected: str
) -> None:
    token = sign_up()["refresh_token"]
    superuser.execute(change)
    assert code(refresh(client, token)) == (401, expected)


def test_a_database_that_is_away_is_no_reason_to_sign_anybody_out(
    client: FlaskClient, sign_up: SignUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    from plugins.auth.services import rotation

    token = sign_up()["refresh_token"]

    def away(*args: Any) -> Any:
        raise OperationalError("update", {}, Exception("the server closed the connection"))

    monkeypatch.setattr(rotation, "_rotated", away)
    assert code(refresh(client, token)) == (503, "DATABASE_UNAVAILABLE")


def test_tokens_of_the_key_before_still_verify_and_the_new_one_signs(
    board: Flask, make_board: Callable[..., Flask], sign_up: SignUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = sign_up()["refresh_token"]
    old = board.extensions["pegboard.settings"].secret_keys[0]
    monkeypatch.setenv("SECRET_KEYS", f"{'new key ' * 5}12345,{old}")
    reply = refresh(make_board("web").test_client(), token)
    assert reply.status_code == 200
    fresh = reply.get_json()["refresh_token"]
    assert fresh.split(".")[4] != token.split(".")[4]
    monkeypatch.setenv("SECRET_KEYS", "new key " * 5 + "12345")
    only_new = make_board("web").test_client()
    assert code(refresh(only_new, token)) == (401, "TOKEN_INVALID")
    assert refresh(only_new, fresh).status_code == 200


def test_a_token_is_in_no_log(client: FlaskClient, sign_up: SignUp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = sign_up()["refresh_token"]
    refresh(client, token)
    refresh(client, token + "x")
    told = caplog.text + json.dumps([str(vars(record)) for record in caplog.records])
    assert token.rpartition(".")[2] not in told
