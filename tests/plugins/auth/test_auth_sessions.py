"""Sessions as their owner sees them: listed, ended, limited in number, and dropped with age."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from auth_helpers import PASSWORD, SignUp, bearer, code
from flask import Flask
from flask.testing import FlaskClient

from core.data import redis
from plugins.auth.services import housekeeping

LOG_IN = {"email": "alice@example.com", "password": PASSWORD}


def log_in(client: FlaskClient, device: str = "phone/1.0") -> dict[str, Any]:
    reply = client.post("/api/auth/login", json=LOG_IN, headers={"User-Agent": device})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.get_json()
    return found


def listed(client: FlaskClient, access: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/api/auth/sessions", headers=bearer(access)).get_json()["items"]
    return items


def test_one_sees_where_one_is_signed_in(client: FlaskClient, sign_up: SignUp) -> None:
    first, second = sign_up(), log_in(client)
    sessions = listed(client, second["access_token"])
    assert [session["id"] for session in sessions] == [second["session_id"], first["session_id"]]
    assert set(sessions[0]) == {"id", "device", "ip", "created_at", "last_seen_at", "expires_at", "current"}
    assert [session["current"] for session in sessions] == [True, False]
    assert (sessions[0]["device"], sessions[0]["ip"]) == ("phone/1.0", "127.0.0.1")
    assert all(re.fullmatch(r".+Z", session["created_at"]) for session in sessions)
    client.post("/api/auth/refresh", json={"refresh_token": first["refresh_token"]}, headers={"User-Agent": "tv/2"})
    assert listed(client, second["access_token"])[0]["device"] == "tv/2", "the last used comes first"


def test_ending_one_ends_its_tokens_of_both_kinds_and_no_others(client: FlaskClient, sign_up: SignUp) -> None:
    first, second = sign_up(), log_in(client)
    me = bearer(second["access_token"])
    assert client.delete(f"/api/auth/sessions/{first['session_id']}", headers=me).status_code == 204
    assert client.delete(f"/api/auth/sessions/{first['session_id']}", headers=me).status_code == 204, "again"
    assert code(client.get("/api/auth/me", headers=bearer(first["access_token"]))) == (401, "TOKEN_INVALID")
    gone = client.post("/api/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert code(gone) == (401, "SESSION_ENDED")
    assert [session["id"] for session in listed(client, second["access_token"])] == [second["session_id"]]
    history = client.get(f"/api/auth/sessions/{first['session_id']}/history", headers=me).get_json()["items"]
    assert [(event["kind"], event["details"].get("reason")) for event in history] == [
        ("session_revoked", "revoked"),
        ("registered", None),
    ]


def test_nobody_sees_or_ends_anothers(client: FlaskClient, sign_up: SignUp) -> None:
    alice, bob = sign_up(), sign_up("bob@example.com", name="Bob")
    path, stranger = f"/api/auth/sessions/{alice['session_id']}", bearer(bob["access_token"])
    assert code(client.delete(path, headers=stranger)) == (404, "NOT_FOUND")
    assert code(client.get(f"{path}/history", headers=stranger)) == (404, "NOT_FOUND")
    assert len(listed(client, bob["access_token"])) == 1
    assert client.get("/api/auth/me", headers=bearer(alice["access_token"])).status_code == 200


@pytest.mark.parametrize(("query", "left"), [("?except=current", 1), ("", 0)])
def test_signing_out_everywhere(client: FlaskClient, sign_up: SignUp, query: str, left: int) -> None:
    tokens = [sign_up(), log_in(client), log_in(client)]
    mine = tokens[2]["access_token"]
    assert client.delete(f"/api/auth/sessions{query}", headers=bearer(mine)).status_code == 204
    alive = [client.get("/api/auth/me", headers=bearer(each["access_token"])).status_code for each in tokens]
    assert alive == [401, 401, 200 if left else 401]


@pytest.mark.parametrize("query", ["?except=all", "?except=current&except=current", "?but=current"])
def test_what_is_not_understood_signs_nobody_out(client: FlaskClient, sign_up: SignUp, query: str) -> None:
    mine = bearer(sign_up()["access_token"])
    assert client.delete(f"/api/auth/sessions{query}", headers=mine).status_code == 422
    assert client.get("/api/auth/me", headers=mine).status_code == 200


def test_logging_out_ends_the_session_that_asks(client: FlaskClient, sign_up: SignUp) -> None:
    first, second = sign_up(), log_in(client)
    assert client.post("/api/auth/logout", headers=bearer(first["access_token"])).status_code == 204
    assert code(client.post("/api/auth/logout", headers=bearer(first["access_token"]))) == (401, "TOKEN_INVALID")
    assert client.get("/api/auth/me", headers=bearer(second["access_token"])).status_code == 200


def test_a_sixth_session_ends_the_longest_unused(client: FlaskClient, sign_up: SignUp) -> None:
    tokens = [sign_up(), *(log_in(client) for _ in range(4))]
    client.post("/api/auth/refresh", json={"refresh_token": tokens[0]["refresh_token"]})
    tokens.append(log_in(client))
    alive = [client.get("/api/auth/me", headers=bearer(each["access_token"])).status_code for each in tokens]
    assert alive == [200, 401, 200, 200, 200, 200]


def test_however_many_sign_in_at_once_five_sessions_stay(
    board: Flask, sign_up: SignUp, superuser: psycopg.Connection[Any]
) -> None:
    sign_up()

    def one(number: int) -> int:
        client = board.test_client()
        client.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
        return client.post("/api/auth/login", json=LOG_IN).status_code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(one, range(12))) == {200}
    live = superuser.execute("select count(*) from auth_sessions where revoked_at is null").fetchone()
    assert live == (5,)
    evicted = superuser.execute("select count(*) from auth_sessions where revoked_reason = 'evicted'").fetchone()
    assert evicted == (8,)


def test_a_device_may_call_itself_whatever_it_likes(client: FlaskClient, sign_up: SignUp) -> None:
    sign_up()
    mine = log_in(client, "x" * 1000)
    assert listed(client, mine["access_token"])[0]["device"] == "x" * 300


def test_what_has_had_its_time_is_dropped_in_batches(
    ctx: Flask, client: FlaskClient, sign_up: SignUp, superuser: psycopg.Connection[Any]
) -> None:
    sign_up()
    for _ in range(4):
        log_in(client)
    old = "id in (select id from auth_sessions order by id limit 3)"
    superuser.execute(
        f"update auth_sessions set revoked_at = now() - interval '31 days', revoked_reason = 'reuse' where {old}"
    )
    superuser.execute("update auth_events set created_at = now() - interval '91 days' where kind = 'registered'")
    assert housekeeping.purge(batch=2) == 4
    assert superuser.execute("select count(*) from auth_sessions").fetchone() == (2,)
    recent = "update auth_sessions set revoked_at = now() - interval '29 days', revoked_reason = 'reuse'"
    superuser.execute(recent)
    assert housekeeping.purge() == 0
    assert redis.client().ping()
