"""Invitations: a mailed link, the roles that wait in it, and the second one that replaces the first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from administering import USERS, Somebody, administrator, mailbox, mailed, roles_of, somebody
from auth_helpers import PASSWORD, bearer, code
from flask import Flask
from flask.testing import FlaskClient

from core.contracts import Authorizer, service
from core.data import PLATFORM

Superuser = psycopg.Connection[Any]

EVE = {"email": "Eve@Example.com", "display_name": "Eve", "roles": ["editor"]}


@pytest.fixture
def admin(board: Flask) -> Somebody:
    return administrator(board)


def invitations(folder: Path) -> list[str]:
    return mailed(folder, "eve@example.com", "invite")


def redeem(client: FlaskClient, token: str) -> Any:
    return client.post("/api/auth/setup", json={"token": token, "password": PASSWORD})


def test_the_roles_are_given_when_the_invitation_is_redeemed(
    board: Flask, client: FlaskClient, admin: Somebody, run_jobs: Callable[[], int], superuser: Superuser
) -> None:
    folder = mailbox(board)
    reply = client.post(f"{USERS}/invite", json=EVE, headers=admin.headers)
    assert reply.status_code == 201
    eve = reply.get_json()
    assert reply.headers["Location"] == f"{USERS}/{eve['id']}"
    assert (eve["email"], eve["roles"], eve["has_password"]) == ("eve@example.com", ["user"], False)
    given = "select count(*) from core_audit where action = 'core.role_assigned' and resource_id = %s"
    assert superuser.execute(given, (eve["id"],)).fetchone() == (0,), "trying whether the role is there leaves no mark"
    assert run_jobs() == 1
    (token,) = invitations(folder)
    assert token not in str(superuser.execute("select l::text from auth_links l").fetchall())
    signed_in = redeem(client, token).get_json()
    me = client.get("/api/auth/me", headers=bearer(signed_in["access_token"])).get_json()
    assert (me["id"], me["roles"]) == (eve["id"], ["editor", "user"])
    assert client.get(f"{USERS}/{eve['id']}", headers=admin.headers).get_json()["email_verified_at"]
    assert code(redeem(client, token)) == (410, "LINK_INVALID")
    again = client.post(f"{USERS}/invite", json=EVE, headers=admin.headers)
    assert code(again) == (409, "EMAIL_TAKEN")


def test_a_second_invitation_replaces_the_first(
    board: Flask, client: FlaskClient, admin: Somebody, run_jobs: Callable[[], int]
) -> None:
    folder = mailbox(board)
    first = client.post(f"{USERS}/invite", json={**EVE, "roles": ["manager"]}, headers=admin.headers).get_json()
    run_jobs()
    second = client.post(f"{USERS}/invite", json={**EVE, "display_name": "Eva"}, headers=admin.headers)
    assert (second.status_code, second.get_json()["id"]) == (201, first["id"])
    assert second.get_json()["display_name"] == "Eva"
    assert code(redeem(client, invitations(folder)[0])) == (410, "LINK_INVALID"), "at once, not when the mail goes"
    run_jobs()
    assert len(invitations(folder)) == 2
    assert redeem(client, invitations(folder)[1]).status_code == 200
    assert roles_of(board, first["id"]) == ("editor", "user")


def test_the_job_of_an_invitation_that_was_replaced_mails_nothing(
    board: Flask, client: FlaskClient, admin: Somebody, run_jobs: Callable[[], int]
) -> None:
    folder = mailbox(board)
    for roles in (["manager"], ["editor"]):
        client.post(f"{USERS}/invite", json={**EVE, "roles": roles}, headers=admin.headers)
    assert run_jobs() == 2
    (token,) = invitations(folder)
    user = redeem(client, token).get_json()["user"]
    assert roles_of(board, user["id"]) == ("editor", "user")


def test_who_has_an_account_or_is_switched_off_is_not_invited(
    board: Flask, client: FlaskClient, admin: Somebody, run_jobs: Callable[[], int]
) -> None:
    folder = mailbox(board)
    somebody(board, "bob@example.com")
    reply = client.post(f"{USERS}/invite", json={**EVE, "email": "BOB@example.com"}, headers=admin.headers)
    assert code(reply) == (409, "EMAIL_TAKEN")
    eve = client.post(f"{USERS}/invite", json=EVE, headers=admin.headers).get_json()
    client.post(f"{USERS}/{eve['id']}/disable", headers=admin.headers)
    assert code(client.post(f"{USERS}/invite", json=EVE, headers=admin.headers)) == (409, "EMAIL_TAKEN")
    run_jobs()
    assert invitations(folder) == [], "the link died with the account's being switched off"


# -- what was promised, and by whom ---------------------------------------------------------------------------------


def withheld(superuser: Superuser) -> list[tuple[Any, ...]]:
    return superuser.execute(
        "select details->>'by', details->'withheld' from auth_events where kind = 'roles_withheld'"
    ).fetchall()


@pytest.mark.parametrize(
    "undo",
    [
        "update auth_users set active = false where id = %s",
        "update auth_users set must_reset = true where id = %s",
        "delete from auth_users where id = %s",
        "delete from core_role_assignments where principal_id = %s",
    ],
)
def test_who_may_give_nothing_any_more_gives_nothing(
    board: Flask, client: FlaskClient, admin: Somebody, run_jobs: Callable[[], int], superuser: Superuser, undo: str
) -> None:
    folder, roles = mailbox(board), ["editor", "manager"]
    client.post(f"{USERS}/invite", json={**EVE, "roles": roles}, headers=admin.headers)
    run_jobs()
    superuser.execute(undo, (admin.id,))  # type: ignore[arg-type]
    reply = redeem(client, invitations(folder)[0])
    assert reply.status_code == 200, "the account is opened all the same"
    assert roles_of(board, reply.get_json()["user"]["id"]) == ("user",)
    assert withheld(superuser) == [(admin.id, roles)]
    told = superuser.execute("select after->'withheld' from core_audit where action = 'auth.invite_link_used'")
    assert told.fetchall() == [(roles,)]


def test_a_role_that_the_inviter_lost_is_not_given_and_the_others_are(
    board: Flask,
    client: FlaskClient,
    admin: Somebody,
    run_jobs: Callable[[], int],
    superuser: Superuser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with board.app_context():
        monkeypatch.setitem(service(Authorizer).grants, "helper", {"users:read", "users:write"})  # type: ignore[attr-defined]
    helper = somebody(board, "helper@example.com", "helper", "editor", "manager")
    folder = mailbox(board)
    client.post(f"{USERS}/invite", json={**EVE, "roles": ["editor", "manager"]}, headers=helper.headers)
    run_jobs()
    client.put(f"{USERS}/{helper.id}/roles", json={"roles": ["helper", "editor"]}, headers=admin.headers)
    reply = redeem(client, invitations(folder)[0])
    assert roles_of(board, reply.get_json()["user"]["id"]) == ("editor", "user")
    assert withheld(superuser) == [(helper.id, ["manager"])]


@pytest.mark.parametrize("still", [True, False])
def test_staff_of_the_platform_promise_too(
    board: Flask, client: FlaskClient, run_jobs: Callable[[], int], superuser: Superuser, still: bool
) -> None:
    ops = administrator(board, "ops@example.com", PLATFORM)
    inside = ops.headers | {"X-Tenant-ID": "default", "X-Acting-Reason": "ticket 17"}
    folder = mailbox(board)
    assert client.post(f"{USERS}/invite", json={**EVE, "roles": ["admin"]}, headers=inside).status_code == 201
    run_jobs()
    if not still:
        superuser.execute("update auth_users set active = false where id = %s", (ops.id,))
    reply = redeem(client, invitations(folder)[0])
    assert roles_of(board, reply.get_json()["user"]["id"]) == (("admin", "user") if still else ("user",))
    assert withheld(superuser) == ([] if still else [(ops.id, ["admin"])])
