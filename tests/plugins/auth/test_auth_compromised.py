""" "This account was hacked": everybody out, nothing lets in, a link by mail, and the story of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from administering import USERS, Somebody, administrator, log_in, mailbox, mailed, somebody, stands, stranger
from auth_helpers import PASSWORD, MakeLink, code
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from core.data import DEFAULT

Superuser = psycopg.Connection[Any]

REASON = {"reason": "signed in from a country of no colleague"}


@pytest.fixture
def admin(board: Flask) -> Somebody:
    return administrator(board)


def respond(client: FlaskClient, admin: Somebody, user_id: str) -> TestResponse:
    return client.post(f"{USERS}/{user_id}/compromised", json=REASON, headers=admin.headers)


def test_one_call_ends_everything_that_lets_in(
    board: Flask,
    client: FlaskClient,
    admin: Somebody,
    make_link: MakeLink,
    run_jobs: Callable[[], int],
    superuser: Superuser,
) -> None:
    bob, folder = somebody(board, "bob@example.com"), mailbox(board)
    thief = log_in(client, "bob@example.com").get_json()
    setup = make_link("bob@example.com", "user")
    client.post("/api/auth/password/forgot", json={"email": "bob@example.com"})
    run_jobs()
    (stolen,) = mailed(folder, "bob@example.com", "reset")

    reply = respond(client, admin, bob.id)
    assert reply.status_code == 200
    assert reply.get_json()["user"]["must_reset"]
    assert not stands(client, bob.headers)
    refreshed = client.post("/api/auth/refresh", json={"refresh_token": thief["refresh_token"]})
    assert code(refreshed) == (401, "SESSION_ENDED")
    assert code(log_in(client, "bob@example.com")) == (403, "RESET_REQUIRED")
    new = {"password": "another horse battery"}
    assert code(client.post("/api/auth/password/reset", json={"token": stolen, **new})) == (410, "LINK_INVALID")
    assert code(client.post("/api/auth/setup", json={"token": setup, **new})) == (410, "LINK_INVALID")
    run_jobs()
    _, token = mailed(folder, "bob@example.com", "reset")
    assert client.post("/api/auth/password/reset", json={"token": token, **new}).status_code == 204
    assert log_in(client, "bob@example.com", new["password"]).status_code == 200

    reasons = superuser.execute(
        "select distinct revoked_reason from auth_sessions where user_id = %s and revoked_at is not null", (bob.id,)
    ).fetchall()
    assert reasons == [("compromised",)]
    audited = superuser.execute(
        "select actor_id::text, resource_id, reason from core_audit where action = 'auth.user_compromised'"
    ).fetchall()
    assert audited == [(admin.id, bob.id, REASON["reason"])]


def test_the_timeline_tells_where_and_when_newest_first(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser
) -> None:
    bob = somebody(board, "bob@example.com")
    body = {"email": "bob@example.com", "password": PASSWORD}
    wrong = client.post(
        "/api/auth/login", json={**body, "password": "a wrong guess"}, headers={"User-Agent": "thief/1"}
    )
    assert wrong.status_code == 401
    thief = client.post("/api/auth/login", json=body, headers={"User-Agent": "thief/1"}).get_json()
    superuser.execute(
        "insert into auth_events (id, tenant_id, user_id, kind, ip, user_agent, details, created_at, updated_at) values"
        " (gen_random_uuid(), %s, %s, 'logged_in', '192.0.2.1', 'old', '{}', now() - interval '91 days', now())",
        (DEFAULT.id, bob.id),
    )
    told = respond(client, admin, bob.id).get_json()
    assert set(told) == {"user", "sessions", "events", "truncated"}
    assert (told["user"]["id"], told["truncated"]) == (bob.id, False)
    newest, oldest = told["sessions"]
    assert (newest["id"], newest["device"], newest["ip"]) == (thief["session_id"], "thief/1", "127.0.0.1")
    assert [session["revoked_reason"] for session in (newest, oldest)] == ["compromised", "compromised"]
    assert newest["revoked_at"] >= newest["created_at"]
    kinds = [event["kind"] for event in told["events"]]
    assert kinds[0] == "compromised"
    assert told["events"][0]["details"] == {"by": admin.id, **REASON}
    assert kinds[1:] == ["session_revoked", "session_revoked", "logged_in", "log_in_failed", "logged_in"]
    assert "old" not in {event["user_agent"] for event in told["events"]}
    assert "argon2" not in str(told) and "thief/1" in str(told)


def test_a_long_story_is_cut_at_its_old_end(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser
) -> None:
    bob = stranger(board, "bob@example.com")
    rows = (
        "insert into auth_events (id, tenant_id, user_id, kind, ip, user_agent, details, created_at, updated_at)"
        " select ('01000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, %s, %s, 'log_in_failed', '', '', '{}',"
        " now(), now() from generate_series(1, %s) n"
    )
    superuser.execute(rows, (DEFAULT.id, bob, 999))
    told = respond(client, admin, bob).get_json()
    assert (len(told["events"]), told["truncated"]) == (1000, False)
    again = respond(client, admin, bob).get_json()
    assert (len(again["events"]), again["truncated"]) == (1000, True)
    assert [event["kind"] for event in again["events"][:3]] == ["compromised", "compromised", "log_in_failed"]


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "x", "active": False}])
def test_a_reason_is_given(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser, body: dict[str, Any]
) -> None:
    bob = stranger(board, "bob@example.com")
    reply = client.post(f"{USERS}/{bob}/compromised", json=body, headers=admin.headers)
    assert code(reply) == (422, "VALIDATION_FAILED")
    assert superuser.execute("select must_reset from auth_users where id = %s", (bob,)).fetchone() == (False,)
