"""An erasure that was asked happens, whatever becomes of its job, and nothing brings the account back meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from administering import USERS, Somebody, administrator, mailbox, mailed, somebody, stranger
from auth_helpers import PASSWORD, MakeLink, SignUp, bearer, code
from flask import Flask
from flask.testing import FlaskClient

from core.background.queue import contents
from core.background.queue.keys import Keys
from core.data import DEFAULT, redis
from core.errors import Refused
from plugins.auth.services import housekeeping

Superuser = psycopg.Connection[Any]


@pytest.fixture
def admin(board: Flask) -> Somebody:
    return administrator(board)


def erase_but_lose_the_job(board: Flask, client: FlaskClient, headers: dict[str, str]) -> None:
    """As a worker loses the one that it runs, when it is killed."""
    assert client.post("/api/auth/me/erase", json={"password": PASSWORD}, headers=headers).status_code == 202
    with board.app_context():
        [waiting] = contents.waiting()
        assert redis.client().delete(Keys("default").lane(waiting.lane)) == 1


def finish(board: Flask, batch: int = 1000) -> int:
    with board.app_context():
        return housekeeping.finish_erasures(batch)


# -- no erasure is lost ---------------------------------------------------------------------------------------------


def test_an_erasure_whose_job_was_lost_is_done_all_the_same(
    board: Flask, client: FlaskClient, run_jobs: Callable[[], int], superuser: Superuser
) -> None:
    bob = somebody(board, "bob@example.com")
    erase_but_lose_the_job(board, client, bob.headers)
    run_jobs()
    assert superuser.execute("select active, erase_asked_at is null from auth_users").fetchall() == [(False, False)]
    assert finish(board) == 0, "the first job has its time"
    superuser.execute("update auth_users set erase_asked_at = now() - interval '6 minutes'")
    assert finish(board) == 1
    run_jobs()
    assert superuser.execute("select count(*) from auth_users").fetchone() == (0,)
    assert finish(board) == 0


def test_however_many_they_are_each_is_asked_for_and_nobody_else(
    board: Flask, run_jobs: Callable[[], int], superuser: Superuser
) -> None:
    for number in range(5):
        stranger(board, f"user{number}@example.com", active=False)
    superuser.execute(
        "update auth_users set erase_asked_at = now() - interval '1 day' where email <> 'user3@example.com'"
    )
    assert finish(board, batch=2) == 4
    assert run_jobs() == 4
    assert superuser.execute("select email from auth_users").fetchall() == [("user3@example.com",)]


def test_the_duty_runs_often(make_board: Callable[..., Flask]) -> None:
    duty = make_board("scheduler").extensions["pegboard.duties"]["auth.finish_erasures"]
    assert (duty.every, duty.lock) == (300, "redis")


# -- nor undone -----------------------------------------------------------------------------------------------------


def test_no_administrator_brings_it_back(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser
) -> None:
    bob = somebody(board, "bob@example.com")
    erase_but_lose_the_job(board, client, bob.headers)
    shown = client.get(f"{USERS}/{bob.id}", headers=admin.headers)
    assert shown.get_json()["erase_asked_at"]
    (listed,) = client.get(f"{USERS}?search=bob", headers=admin.headers).get_json()["items"]
    assert listed["erase_asked_at"] == shown.get_json()["erase_asked_at"]
    before = superuser.execute("select u::text from auth_users u where id = %s", (bob.id,)).fetchone()
    target = f"{USERS}/{bob.id}"
    tries: list[tuple[str, str, Any]] = [
        ("PATCH", target, {"email": "new@example.com"}),
        ("DELETE", target, None),
        ("PUT", f"{target}/roles", {"roles": ["admin"]}),
        ("DELETE", f"{target}/sessions", None),
        ("POST", f"{target}/compromised", {"reason": "x"}),
        ("POST", f"{USERS}/invite", {"email": "bob@example.com", "display_name": "Bob"}),
        *(("POST", f"{target}/{what}", None) for what in ("disable", "enable", "force-reset")),
    ]
    headers = admin.headers | {"If-Match": shown.headers["ETag"]}
    for method, path, body in tries:
        reply = client.open(path, method=method, json=body, headers=headers)
        assert code(reply) == (409, "CONFLICT"), (method, path)
        assert "erased" in reply.get_json()["detail"]
    assert superuser.execute("select u::text from auth_users u where id = %s", (bob.id,)).fetchone() == before
    assert superuser.execute("select count(*) from auth_links").fetchone() == (1,), "only the one that was used"


def test_no_link_brings_it_back(
    board: Flask,
    client: FlaskClient,
    admin: Somebody,
    make_link: MakeLink,
    run_jobs: Callable[[], int],
    superuser: Superuser,
) -> None:
    folder, eve = mailbox(board), {"email": "eve@example.com", "display_name": "Eve"}
    client.post(f"{USERS}/invite", json=eve, headers=admin.headers)
    run_jobs()
    tokens = [make_link("bob@example.com", "user"), *mailed(folder, "eve@example.com", "invite")]
    assert len(tokens) == 2
    superuser.execute("update auth_users set active = false, erase_asked_at = now() where id <> %s", (admin.id,))
    for token in tokens:
        reply = client.post("/api/auth/setup", json={"token": token, "password": PASSWORD})
        assert code(reply) == (410, "LINK_INVALID")
    assert superuser.execute("select count(*) from auth_users where active").fetchone() == (1,)
    with pytest.raises(Refused, match="CONFLICT: it is being erased"):
        make_link("bob@example.com", "admin")


# -- what goes with it ----------------------------------------------------------------------------------------------


def test_former_addresses_are_forgotten_too(
    board: Flask,
    client: FlaskClient,
    admin: Somebody,
    sign_up: SignUp,
    run_jobs: Callable[[], int],
    superuser: Superuser,
) -> None:
    alice = sign_up("alice@example.com")
    headers, target = bearer(alice["access_token"]), f"{USERS}/{alice['user']['id']}"
    folder = mailbox(board)
    client.post("/api/auth/email", json={"email": "alice2@example.com", "password": PASSWORD}, headers=headers)
    run_jobs()
    (token,) = mailed(folder, "alice2@example.com", "email")
    assert client.post("/api/auth/email/confirm", json={"token": token}).status_code == 204
    tag = client.get(target, headers=admin.headers).headers["ETag"]
    edit = client.patch(target, json={"email": "alice3@example.com"}, headers=admin.headers | {"If-Match": tag})
    assert edit.status_code == 200
    for address in ("alice@example.com", "alice2@example.com", "alice3@example.com", "stranger@example.com"):
        client.post("/api/auth/login", json={"email": address, "password": "a wrong guess"})
        superuser.execute(
            "insert into auth_signups (id, tenant_id, email, display_name, password_hash, expires_at, created_at,"
            " updated_at) values (gen_random_uuid(), %s, %s, 'x', 'x', now() + interval '1 day', now(), now())",
            (DEFAULT.id, address),
        )
    # Somebody else has the first address now: what they did is theirs.
    other = somebody(board, "alice@example.com")
    client.post("/api/auth/me/erase", json={"password": PASSWORD}, headers=headers)
    run_jobs()
    assert superuser.execute("select email from auth_signups").fetchall() == [("stranger@example.com",)]
    kept = superuser.execute("select distinct account, user_id from auth_events where account not like 'admin%%'")
    assert sorted(map(str, kept.fetchall())) == sorted(
        map(str, [("stranger@example.com", None), ("alice@example.com", UUID(other.id))])
    )


def test_the_export_is_all_that_is_kept_but_secrets(
    board: Flask, client: FlaskClient, admin: Somebody, make_link: MakeLink, superuser: Superuser
) -> None:
    bob = somebody(board, "bob@example.com")
    ended = client.post("/api/auth/login", json={"email": "bob@example.com", "password": PASSWORD}).get_json()
    client.delete(f"/api/auth/sessions/{ended['session_id']}", headers=bob.headers)
    client.put(f"{USERS}/{bob.id}/roles", json={"roles": ["editor"]}, headers=admin.headers)
    make_link("bob@example.com", "manager")
    told = client.get("/api/auth/me/export", headers=bob.headers).get_json()["data"]["auth"]
    tables = {"account": "auth_users", "sessions": "auth_sessions", "events": "auth_events", "links": "auth_links"}
    for part, table in tables.items():
        columns = {
            name
            for (name,) in superuser.execute(
                "select column_name from information_schema.columns where table_name = %s", (table,)
            )
        }
        row = told[part] if part == "account" else told[part][-1]
        unsaid = {"tenant_id", "user_id", "password_hash", "digest", "id", "created_at", "updated_at"}
        assert columns - unsaid <= set(row), part
        assert not {"password_hash", "digest"} & set(row)
    (gone,) = [row for row in told["sessions"] if row["id"] == ended["session_id"]]
    assert (gone["revoked_reason"], gone["revoked_at"] is None) == ("revoked", False)
    assert told["account"]["must_reset"] is False
    changed = told["events"][-1]
    assert (changed["kind"], changed["account"]) == ("roles_changed", "bob@example.com")
    assert changed["details"] == {"by": admin.id, "before": ["user"], "after": ["editor", "user"]}
    pending = told["links"][-1]
    assert (pending["purpose"], pending["details"], pending["used_at"]) == ("setup", {"role": "manager"}, None)
