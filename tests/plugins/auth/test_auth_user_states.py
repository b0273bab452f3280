"""Switching off and on, roles, forced resets, leaving; who may do it to whom, and that somebody always remains."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from administering import (
    USERS,
    Somebody,
    administrator,
    log_in,
    mailbox,
    mailed,
    roles_of,
    somebody,
    stands,
    stranger,
)
from auth_helpers import PASSWORD, MakeLink, code
from flask import Flask
from flask.testing import FlaskClient
from refreshing import post
from test_auth_welcome import ask
from throwaway import eventually
from werkzeug.test import TestResponse

from core.contracts import Authorizer, service
from core.data import DEFAULT, PLATFORM
from core.ops.processes import Process

Superuser = psycopg.Connection[Any]


@pytest.fixture
def admin(board: Flask) -> Somebody:
    return administrator(board)


@pytest.fixture
def helper(board: Flask, monkeypatch: pytest.MonkeyPatch) -> Somebody:
    """Somebody with `users:write` who is no administrator, and an editor."""
    with board.app_context():
        monkeypatch.setitem(service(Authorizer).grants, "helper", {"users:read", "users:write"})  # type: ignore[attr-defined]
    return somebody(board, "helper@example.com", "helper", "editor")


def do(client: FlaskClient, who: Somebody, user_id: str, what: str, roles: list[str] | None = None) -> TestResponse:
    """``disable`` and its kin, ``roles``, ``delete``, ``sessions`` or ``compromised``."""
    path = f"{USERS}/{user_id}"
    match what:
        case "delete":
            return client.delete(path, headers=who.headers)
        case "sessions":
            return client.delete(f"{path}/sessions", headers=who.headers)
        case "roles":
            return client.put(f"{path}/roles", json={"roles": roles or []}, headers=who.headers)
        case "edit":
            tag = client.get(path, headers=who.headers).headers["ETag"]
            return client.patch(path, json={"email": "new@example.com"}, headers=who.headers | {"If-Match": tag})
        case "compromised":
            return client.post(f"{path}/compromised", json={"reason": "x"}, headers=who.headers)
    return client.post(f"{path}/{what}", headers=who.headers)


# -- off and on ---------------------------------------------------------------------------------------------------


def test_who_is_switched_off_is_out_at_once_and_may_come_back(
    board: Flask, client: FlaskClient, admin: Somebody, make_link: MakeLink, superuser: Superuser
) -> None:
    bob = somebody(board, "bob@example.com")
    signed_in = log_in(client, "bob@example.com").get_json()
    link = make_link("bob@example.com", "user")
    assert stands(client, bob.headers)
    reply = do(client, admin, bob.id, "disable")
    assert (reply.status_code, reply.get_json()["active"]) == (200, False)
    assert not stands(client, bob.headers)
    refused = client.post("/api/auth/refresh", json={"refresh_token": signed_in["refresh_token"]})
    assert code(refused) == (401, "SESSION_ENDED")
    assert code(log_in(client, "bob@example.com")) == (401, "INVALID_CREDENTIALS")
    setup = client.post("/api/auth/setup", json={"token": link, "password": PASSWORD})
    assert code(setup) == (410, "LINK_INVALID"), "no link switches the account on again"
    assert do(client, admin, bob.id, "disable").status_code == 200
    reply = do(client, admin, bob.id, "enable")
    assert (reply.status_code, reply.get_json()["active"]) == (200, True)
    assert not stands(client, bob.headers), "what ended stays ended"
    assert log_in(client, "bob@example.com").status_code == 200
    actions = superuser.execute(
        "select action, before, after from core_audit where action like 'auth.user_%%abled' order by id"
    ).fetchall()
    off, on = {"active": False}, {"active": True}
    assert actions == [("auth.user_disabled", on, off), ("auth.user_enabled", off, on)], "twice leaves one mark"
    history = client.get(f"{USERS}/{bob.id}/history", headers=admin.headers).get_json()["items"]
    told = [(event["kind"], event["details"].get("by"), event["ip"]) for event in history if "abled" in event["kind"]]
    assert told == [("enabled", admin.id, ""), ("disabled", admin.id, "")]
    reasons = superuser.execute("select distinct revoked_reason from auth_sessions where user_id = %s", (bob.id,))
    assert {"disabled"} <= {reason for (reason,) in reasons}


def test_every_process_refuses(process: Callable[..., Process], board: Flask) -> None:
    web = process("web", WEB_CONCURRENCY="2", RATE_LIMIT="0")
    admin = administrator(board)
    status, bob = post(
        web.url, "/api/auth/register", {"email": "b@example.com", "password": PASSWORD, "display_name": "B"}
    )
    assert status == 201

    def answers() -> set[int]:
        return {ask(f"{web.url}/api/auth/me", token=bob["access_token"])[0] for _ in range(10)}

    assert answers() == {200}, "both processes know the session by now"
    token = admin.headers["Authorization"].partition(" ")[2]
    assert ask(f"{web.url}{USERS}/{bob['user']['id']}/disable", body={}, token=token)[0] == 200
    # By a notice: what a process remembers would stand for a minute.
    eventually(lambda: answers() == {401})


def test_sessions_are_seen_and_ended_by_administrators(board: Flask, client: FlaskClient, admin: Somebody) -> None:
    bob = somebody(board, "bob@example.com")
    log_in(client, "bob@example.com")
    listed = client.get(f"{USERS}/{bob.id}/sessions", headers=admin.headers).get_json()["items"]
    assert [session["current"] for session in listed] == [False, False]
    assert do(client, admin, bob.id, "sessions").status_code == 204
    assert client.get(f"{USERS}/{bob.id}/sessions", headers=admin.headers).get_json()["items"] == []
    assert not stands(client, bob.headers)
    assert stands(client, admin.headers)


# -- roles --------------------------------------------------------------------------------------------------------


def test_roles_are_set_whole_and_audited(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser
) -> None:
    bob = stranger(board, "bob@example.com")
    assert do(client, admin, bob, "roles", ["editor", "manager"]).get_json()["roles"] == ["editor", "manager", "user"]
    assert do(client, admin, bob, "roles", ["user", "editor"]).get_json()["roles"] == ["editor", "user"]
    assert do(client, admin, bob, "roles", ["editor"]).status_code == 200
    audited = superuser.execute(
        "select before->'roles', after->'roles' from core_audit where action = 'auth.user_roles_set' order by id"
    ).fetchall()
    assert audited == [
        (["user"], ["editor", "manager", "user"]),
        (["editor", "manager", "user"], ["editor", "user"]),
    ]
    assert code(do(client, admin, bob, "roles", ["manager", "emperor"])) == (422, "UNKNOWN_ROLE")
    assert code(do(client, admin, bob, "roles", ["super_admin"])) == (422, "UNKNOWN_ROLE")
    assert roles_of(board, bob) == ("editor", "user"), "nothing half-done"


@pytest.mark.parametrize(
    "what", ["disable", "enable", "force-reset", "roles", "edit", "delete", "sessions", "compromised"]
)
def test_who_only_writes_users_leaves_administrators_alone(
    board: Flask, client: FlaskClient, admin: Somebody, helper: Somebody, superuser: Superuser, what: str
) -> None:
    administrator(board, "second@example.com")
    assert code(do(client, helper, admin.id, what, ["admin"])) == (403, "FORBIDDEN")
    assert stands(client, admin.headers)
    assert roles_of(board, admin.id) == ("admin", "user")
    bob = somebody(board, "bob@example.com")
    assert do(client, helper, bob.id, what, ["editor"]).status_code in (200, 204)


def test_nobody_gives_what_they_do_not_hold(
    board: Flask, client: FlaskClient, helper: Somebody, superuser: Superuser
) -> None:
    bob = stranger(board, "bob@example.com")
    for roles in (["admin"], ["manager"], ["editor", "manager"]):
        for target in (bob, helper.id):
            assert code(do(client, helper, target, "roles", roles)) == (403, "FORBIDDEN")
        for path in (USERS, f"{USERS}/invite"):
            body = {"email": "eve@example.com", "display_name": "Eve", "roles": roles}
            assert code(client.post(path, json=body, headers=helper.headers)) == (403, "FORBIDDEN")
    assert do(client, helper, bob, "roles", ["editor", "helper"]).get_json()["roles"] == ["editor", "helper", "user"]
    assert superuser.execute("select count(*) from auth_users").fetchone() == (2,)
    assert roles_of(board, helper.id) == ("editor", "helper", "user")


@pytest.mark.parametrize(
    "what", ["disable", "enable", "force-reset", "roles", "edit", "delete", "sessions", "compromised"]
)
def test_who_only_writes_users_leaves_those_alone_who_may_more(
    board: Flask, client: FlaskClient, helper: Somebody, what: str
) -> None:
    """Whose address one sets, to that one's password one has the link mailed."""
    manager = somebody(board, "manager@example.com", "manager", "editor")
    before = client.get(f"{USERS}/{manager.id}", headers=helper.headers).get_json()
    assert code(do(client, helper, manager.id, what, ["editor"])) == (403, "FORBIDDEN")
    assert stands(client, manager.headers)
    assert client.get(f"{USERS}/{manager.id}", headers=helper.headers).get_json() == before


def test_nobody_takes_what_they_do_not_hold(board: Flask, client: FlaskClient, helper: Somebody) -> None:
    bob = somebody(board, "bob@example.com", "manager")
    assert code(do(client, helper, bob.id, "roles", [])) == (403, "FORBIDDEN")
    assert roles_of(board, bob.id) == ("manager", "user")


@pytest.mark.parametrize("what", ["disable", "roles", "edit", "delete", "invite"])
def test_roles_that_wait_in_a_link_count_as_held(
    board: Flask,
    client: FlaskClient,
    admin: Somebody,
    helper: Somebody,
    make_link: MakeLink,
    superuser: Superuser,
    what: str,
) -> None:
    eve = {"email": "eve@example.com", "display_name": "Eve"}
    invited = client.post(f"{USERS}/invite", json={**eve, "roles": ["manager"]}, headers=admin.headers).get_json()["id"]
    make_link("bob@example.com", "manager")
    (bob,) = superuser.execute("select id::text from auth_users where email = 'bob@example.com'").fetchone()  # type: ignore[misc]
    before = superuser.execute("select l::text from auth_links l order by id").fetchall()
    for user_id, email in ((invited, "eve@example.com"), (bob, "bob@example.com")):
        if what == "invite":
            body = {**eve, "email": email, "roles": ["editor"]}
            reply = client.post(f"{USERS}/invite", json=body, headers=helper.headers)
        else:
            reply = do(client, helper, user_id, what)
        assert code(reply) == (403, "FORBIDDEN")
    assert superuser.execute("select l::text from auth_links l order by id").fetchall() == before
    superuser.execute("update auth_links set expires_at = now() - interval '1 second'")
    again = client.post(f"{USERS}/invite", json={**eve, "roles": ["editor"]}, headers=helper.headers)
    assert again.status_code == 201, "what has expired is nobody's"


# -- somebody remains ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["disable", "delete", "roles"])
def test_the_last_administrator_stays(board: Flask, client: FlaskClient, admin: Somebody, what: str) -> None:
    administrator(board, "off@example.com")
    stranger(board, "nobody@example.com")
    off = client.get(f"{USERS}?search=off", headers=admin.headers).get_json()["items"][0]["id"]
    assert do(client, admin, off, "disable").status_code == 200, "who is switched off does not count"
    assert code(do(client, admin, admin.id, what, ["editor"])) == (409, "LAST_ADMIN")
    assert (stands(client, admin.headers), roles_of(board, admin.id)) == (True, ("admin", "user"))
    administrator(board, "second@example.com")
    reply = do(client, admin, admin.id, what, ["editor"])
    assert reply.status_code == 200 if what == "roles" else code(reply) == (403, "FORBIDDEN"), "oneself, by this route"


@pytest.mark.parametrize("what", ["disable", "delete", "roles"])
def test_the_last_of_the_platforms_staff_stays(board: Flask, client: FlaskClient, what: str) -> None:
    ops = administrator(board, "ops@example.com", PLATFORM)
    somebody(board, "second@example.com", "admin", tenant=PLATFORM)
    assert code(do(client, ops, ops.id, what, ["admin"])) == (409, "LAST_ADMIN")
    assert roles_of(board, ops.id, PLATFORM) == ("super_admin", "user")


@pytest.mark.parametrize(("one", "other"), [("disable", "disable"), ("roles", "roles"), ("delete", "roles")])
@pytest.mark.parametrize("by", ["each other", "staff"])
def test_of_two_who_are_removed_at_once_one_remains(
    board: Flask, superuser: Superuser, one: str, other: str, by: str
) -> None:
    ops = administrator(board, "ops@example.com", PLATFORM)
    staff = Somebody(ops.id, ops.headers | {"X-Tenant-ID": "default", "X-Acting-Reason": "ticket 17"})
    for number in range(5):
        pair = [administrator(board, f"{name}{number}@example.com") for name in ("first", "second")]
        barrier = Barrier(2)

        def remove(who: Somebody, whom: Somebody, what: str, barrier: Barrier = barrier) -> int:
            barrier.wait()
            return int(do(board.test_client(), who, whom.id, what).status_code)

        with ThreadPoolExecutor(2) as pool:
            askers = pair if by == "each other" else [staff, staff]
            tries = [pool.submit(remove, askers[0], pair[1], one), pool.submit(remove, askers[1], pair[0], other)]
            statuses = sorted(each.result() for each in tries)
        left = superuser.execute(
            "select u.id::text from auth_users u join core_role_assignments r on r.principal_id = u.id"
            " where u.active and r.role = 'admin' and u.tenant_id = %s",
            (DEFAULT.id,),
        ).fetchall()
        assert len(left) == 1, (number, statuses)
        assert statuses[0] in (200, 204)
        assert statuses[1] in (401, 403, 409), statuses
        superuser.execute("update auth_users set active = false where tenant_id = %s", (DEFAULT.id,))


# -- a reset, and leaving -----------------------------------------------------------------------------------------


def test_a_forced_reset_lets_nobody_in_but_by_the_mailed_link(
    board: Flask, client: FlaskClient, admin: Somebody, run_jobs: Callable[[], int], superuser: Superuser
) -> None:
    bob, mail = somebody(board, "bob@example.com"), mailbox(board)
    reply = do(client, admin, bob.id, "force-reset")
    assert (reply.status_code, reply.get_json()["must_reset"]) == (200, True)
    assert not stands(client, bob.headers)
    assert code(log_in(client, "bob@example.com")) == (403, "RESET_REQUIRED")
    run_jobs()
    (token,) = mailed(mail, "bob@example.com", "reset")
    body = {"token": token, "password": "another horse battery"}
    assert client.post("/api/auth/password/reset", json=body).status_code == 204
    assert log_in(client, "bob@example.com", "another horse battery").status_code == 200
    kinds = superuser.execute("select kind from auth_events where details->>'by' = %s", (admin.id,)).fetchall()
    assert kinds == [("reset_forced",)]
    audited = superuser.execute("select before, after from core_audit where action = 'auth.user_reset_forced'")
    assert audited.fetchall() == [({"must_reset": False}, {"must_reset": True})]


def test_who_is_deleted_is_out_at_once_and_gone_after_the_job(
    board: Flask, client: FlaskClient, admin: Somebody, run_jobs: Callable[[], int], superuser: Superuser
) -> None:
    bob = somebody(board, "bob@example.com", "editor")
    assert do(client, admin, bob.id, "delete").status_code == 204
    assert not stands(client, bob.headers)
    run_jobs()
    assert code(client.get(f"{USERS}/{bob.id}", headers=admin.headers)) == (404, "NOT_FOUND")
    for table, column in (
        ("auth_users", "id"),
        ("auth_sessions", "user_id"),
        ("auth_events", "user_id"),
        ("auth_links", "user_id"),
        ("core_role_assignments", "principal_id"),
    ):
        assert superuser.execute(f"select count(*) from {table} where {column} = %s", (bob.id,)).fetchone() == (0,)
    audited = superuser.execute("select actor_id::text from core_audit where action = 'auth.user_deleted'").fetchall()
    assert audited == [(admin.id,)]
