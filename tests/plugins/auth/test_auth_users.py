"""The people of a tenant, as administrators see them: listed, found, added, edited, and in no other tenant."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from administering import USERS, Somebody, administrator, log_in, roles_of, somebody, stranger
from auth_helpers import PASSWORD, code
from flask import Flask
from flask.testing import FlaskClient

from core.data import DEFAULT, PLATFORM

Superuser = psycopg.Connection[Any]

BOB = {"email": "bob@example.com", "display_name": "Bob"}


@pytest.fixture
def admin(board: Flask) -> Somebody:
    return administrator(board)


def emails(reply: Any) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [item["email"] for item in reply.get_json()["items"]]


# -- seeing -------------------------------------------------------------------------------------------------------


def test_the_list_is_newest_first_in_pages_and_tells_no_secret(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser
) -> None:
    for number in range(5):
        stranger(board, f"user{number}@example.com")
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(f"{USERS}?limit=2{cursor and '&cursor=' + cursor}", headers=admin.headers)
        seen += emails(page)
        cursor = page.get_json()["next"]
    assert seen == [*(f"user{number}@example.com" for number in reversed(range(5))), "admin@example.com"]
    (last,) = client.get(f"{USERS}?search=admin", headers=admin.headers).get_json()["items"]
    assert set(last) == {
        *("id", "email", "display_name", "active", "must_reset", "email_verified_at", "has_password", "created_at"),
        "erase_asked_at",
    }
    assert (last["active"], last["must_reset"], last["has_password"]) == (True, False, True)
    (digest,) = superuser.execute("select password_hash from auth_users where password_hash is not null").fetchone()  # type: ignore[misc]
    assert digest not in client.get(f"{USERS}/{admin.id}", headers=admin.headers).text


def test_searching_takes_parts_of_addresses_and_names_literally(
    board: Flask, client: FlaskClient, admin: Somebody
) -> None:
    stranger(board, "anna_b@example.com", display_name="Anna 100% B.")
    stranger(board, "annaxb@example.com", display_name="Ölaf Back\\slash")

    def found(text: str) -> list[str]:
        return sorted(emails(client.get(USERS, query_string={"search": text}, headers=admin.headers)))

    assert found("ANNA") == ["anna_b@example.com", "annaxb@example.com"]
    assert found("a_b@") == ["anna_b@example.com"], "an underscore is no wildcard"
    assert found("100%") == ["anna_b@example.com"]
    assert found("%") == ["anna_b@example.com"]
    assert found("k\\s") == ["annaxb@example.com"]
    assert found("/") == []
    assert found("laf back") == ["annaxb@example.com"]
    assert found("nobody") == []
    assert code(client.get(f"{USERS}?search=", headers=admin.headers)) == (422, "VALIDATION_FAILED")


def test_the_list_can_be_narrowed_and_counted(board: Flask, client: FlaskClient, admin: Somebody) -> None:
    stranger(board, "off@example.com", active=False)
    stranger(board, "on@example.com")
    assert emails(client.get(f"{USERS}?active=false", headers=admin.headers)) == ["off@example.com"]
    assert "off@example.com" not in emails(client.get(f"{USERS}?active=true", headers=admin.headers))
    assert client.get(f"{USERS}?active=true&limit=1&count=exact", headers=admin.headers).get_json()["count"] == 2
    assert isinstance(client.get(f"{USERS}?count=planned", headers=admin.headers).get_json()["count"], int)
    assert code(client.get(f"{USERS}?active=perhaps", headers=admin.headers)) == (422, "VALIDATION_FAILED")
    assert code(client.get(f"{USERS}?role=admin", headers=admin.headers)) == (422, "VALIDATION_FAILED")


def test_one_user_comes_with_roles_and_a_tag_that_follows_them(
    board: Flask, client: FlaskClient, admin: Somebody
) -> None:
    user = stranger(board, "bob@example.com")
    first = client.get(f"{USERS}/{user}", headers=admin.headers)
    assert (first.status_code, first.get_json()["roles"]) == (200, ["user"])
    again = client.get(f"{USERS}/{user}", headers=admin.headers | {"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    client.put(f"{USERS}/{user}/roles", json={"roles": ["editor"]}, headers=admin.headers)
    later = client.get(f"{USERS}/{user}", headers=admin.headers | {"If-None-Match": first.headers["ETag"]})
    assert (later.status_code, later.get_json()["roles"]) == (200, ["editor", "user"])
    assert code(client.get(f"{USERS}/{uuid4()}", headers=admin.headers)) == (404, "NOT_FOUND")


def test_who_lacks_the_permission_sees_and_does_nothing(board: Flask, client: FlaskClient, admin: Somebody) -> None:
    alice, manager = somebody(board, "alice@example.com"), somebody(board, "manager@example.com", "manager")
    target = f"{USERS}/{admin.id}"
    reads = [USERS, target, f"{target}/sessions", f"{target}/history", "/api/auth/anomalies"]
    writes: list[tuple[str, str, Any]] = [
        ("POST", USERS, BOB),
        ("POST", f"{USERS}/invite", BOB),
        ("PATCH", target, {}),
        ("DELETE", target, None),
        ("PUT", f"{target}/roles", {"roles": []}),
        ("DELETE", f"{target}/sessions", None),
        ("POST", f"{target}/compromised", {"reason": "x"}),
        *(("POST", f"{target}/{what}", None) for what in ("disable", "enable", "force-reset")),
    ]
    for path in reads:
        assert client.get(path).status_code == 401
        assert code(client.get(path, headers=alice.headers)) == (403, "FORBIDDEN")
        assert client.get(path, headers=manager.headers).status_code == 200
    for method, path, body in writes:
        for who in (alice, manager):
            assert code(client.open(path, method=method, json=body, headers=who.headers)) == (403, "FORBIDDEN"), path
    assert client.get(target, headers=admin.headers).get_json()["active"]


# -- adding and editing -------------------------------------------------------------------------------------------


def test_an_administrator_adds_somebody_who_can_log_in(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser
) -> None:
    body = {**BOB, "email": " Bob@Example.com", "password": PASSWORD, "roles": ["editor", "user"]}
    reply = client.post(USERS, json=body, headers=admin.headers)
    assert reply.status_code == 201
    made = reply.get_json()
    assert reply.headers["Location"] == f"{USERS}/{made['id']}"
    assert client.get(reply.headers["Location"], headers=admin.headers).headers["ETag"] == reply.headers["ETag"]
    assert (made["email"], made["roles"], made["email_verified_at"]) == ("bob@example.com", ["editor", "user"], None)
    assert log_in(client, "bob@example.com").status_code == 200
    row = superuser.execute("select count(*) from core_role_assignments where role = 'user'").fetchone()
    assert row == (1,), "only the one that the fixture gave: everyone is a user without a row"
    told = superuser.execute(
        "select actor_id::text, resource_id, after::text from core_audit where action = 'auth.user_created'"
    ).fetchall()
    assert [(who, what) for who, what, _ in told] == [(admin.id, made["id"])]
    assert PASSWORD not in told[0][2] and "argon2" not in told[0][2]
    assert code(client.post(USERS, json=body, headers=admin.headers)) == (409, "EMAIL_TAKEN")


def test_without_a_password_nobody_logs_in(client: FlaskClient, admin: Somebody) -> None:
    made = client.post(USERS, json=BOB, headers=admin.headers).get_json()
    assert (made["has_password"], made["roles"]) == (False, ["user"])
    assert code(log_in(client, "bob@example.com")) == (401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize(
    "change",
    [
        {"active": False},
        {"must_reset": False},
        {"password_hash": "x"},
        {"email_verified_at": "2026-01-01T00:00:00Z"},
        {"tenant_id": str(PLATFORM.id)},
        {"id": str(PLATFORM.id)},
        {"email": "nobody"},
        {"display_name": "a\nb"},
        {"display_name": None},
    ],
)
def test_what_is_not_for_administrators_to_say_is_refused(
    client: FlaskClient, admin: Somebody, superuser: Superuser, change: dict[str, Any]
) -> None:
    before = superuser.execute("select u::text from auth_users u order by id").fetchall()
    for path in (USERS, f"{USERS}/invite"):
        assert code(client.post(path, json={**BOB, **change}, headers=admin.headers)) == (422, "VALIDATION_FAILED")
    tag = client.get(f"{USERS}/{admin.id}", headers=admin.headers).headers["ETag"]
    reply = client.patch(f"{USERS}/{admin.id}", json=change, headers=admin.headers | {"If-Match": tag})
    assert code(reply) == (422, "VALIDATION_FAILED")
    assert superuser.execute("select u::text from auth_users u order by id").fetchall() == before


@pytest.mark.parametrize("password", ["short", "password123", "x" * 257])
def test_a_password_is_checked_like_any(client: FlaskClient, admin: Somebody, password: str) -> None:
    reply = client.post(USERS, json={**BOB, "password": password}, headers=admin.headers)
    assert code(reply) == (422, "VALIDATION_FAILED")
    assert reply.get_json()["errors"][0]["field"] == "$.password"


def test_a_role_that_is_not_there_adds_nobody(client: FlaskClient, admin: Somebody, superuser: Superuser) -> None:
    for roles in (["editor", "emperor"], ["super_admin"]):
        for path in (USERS, f"{USERS}/invite"):
            reply = client.post(path, json={**BOB, "roles": roles}, headers=admin.headers)
            assert code(reply) == (422, "UNKNOWN_ROLE")
    assert superuser.execute("select count(*) from auth_users").fetchone() == (1,)
    assert superuser.execute("select count(*) from core_role_assignments where role = 'editor'").fetchone() == (0,)


def test_editing_wants_the_version_that_was_read(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser
) -> None:
    bob = somebody(board, "bob@example.com")
    path, reset = f"{USERS}/{bob.id}", "update auth_users set email_verified_at = now()"
    superuser.execute(reset)
    superuser.execute(
        "insert into auth_links (id, tenant_id, user_id, purpose, digest, details, expires_at, created_at, updated_at)"
        " values (gen_random_uuid(), %s, %s, 'reset', '\\x00', '{}', now() + interval '1 hour', now(), now())",
        (DEFAULT.id, bob.id),
    )
    tag = client.get(path, headers=admin.headers).headers["ETag"]
    edit = {"display_name": "Robert", "email": "Robert@Example.com"}
    assert code(client.patch(path, json=edit, headers=admin.headers)) == (428, "PRECONDITION_REQUIRED")
    reply = client.patch(path, json=edit, headers=admin.headers | {"If-Match": tag})
    assert reply.status_code == 200
    edited = reply.get_json()
    assert (edited["display_name"], edited["email"]) == ("Robert", "robert@example.com")
    assert edited["email_verified_at"] is None, "nobody has shown that the address is theirs"
    stale = client.patch(path, json={"display_name": "Bob"}, headers=admin.headers | {"If-Match": tag})
    assert code(stale) == (412, "PRECONDITION_FAILED")
    fresh = client.patch(path, json={}, headers=admin.headers | {"If-Match": reply.headers["ETag"]})
    assert (fresh.status_code, fresh.get_json()) == (200, edited)
    assert superuser.execute("select count(*) from auth_links where purpose = 'reset'").fetchone() == (0,)
    audited = superuser.execute("select resource_id, after from core_audit where action = 'auth.user_changed'")
    assert audited.fetchall() == [(bob.id, {"changed": ["display_name", "email"]})]
    (event,) = superuser.execute("select details, ip from auth_events where kind = 'email_changed'").fetchall()
    assert event[0] == {"by": admin.id, "before": "bob@example.com"}
    assert event[1] == "", "an administrator's address is nobody's to read"


def test_an_address_that_somebody_has_cannot_be_given_to_another(
    board: Flask, client: FlaskClient, admin: Somebody
) -> None:
    user = stranger(board, "bob@example.com")
    tag = client.get(f"{USERS}/{user}", headers=admin.headers).headers["ETag"]
    edit = {"email": "ADMIN@example.com", "display_name": "Eve"}
    reply = client.patch(f"{USERS}/{user}", json=edit, headers=admin.headers | {"If-Match": tag})
    assert code(reply) == (409, "EMAIL_TAKEN")
    assert client.get(f"{USERS}/{user}", headers=admin.headers).get_json()["display_name"] == "bob"


# -- tenants ------------------------------------------------------------------------------------------------------


def test_an_administrator_sees_nobody_of_another_tenant(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser
) -> None:
    ops = administrator(board, "ops@example.com", PLATFORM)
    before = superuser.execute("select u::text from auth_users u where id = %s", (ops.id,)).fetchone()
    assert emails(client.get(USERS, headers=admin.headers)) == ["admin@example.com"]
    assert emails(client.get(USERS, headers=ops.headers)) == ["ops@example.com"]
    target = f"{USERS}/{ops.id}"
    for path in (target, f"{target}/sessions", f"{target}/history"):
        assert code(client.get(path, headers=admin.headers)) == (404, "NOT_FOUND")
    tries: list[tuple[str, str, Any]] = [
        ("PATCH", target, {"display_name": "Eve"}),
        ("DELETE", target, None),
        ("PUT", f"{target}/roles", {"roles": []}),
        ("DELETE", f"{target}/sessions", None),
        ("POST", f"{target}/compromised", {"reason": "x"}),
        *(("POST", f"{target}/{what}", None) for what in ("disable", "enable", "force-reset")),
    ]
    for method, path, body in tries:
        assert code(client.open(path, method=method, json=body, headers=admin.headers)) == (404, "NOT_FOUND")
    assert superuser.execute("select u::text from auth_users u where id = %s", (ops.id,)).fetchone() == before
    elsewhere = client.get(USERS, headers=admin.headers | {"X-Tenant-ID": "platform"})
    assert code(elsewhere) == (403, "TENANT_MISMATCH")


def test_staff_who_act_inside_a_tenant_administrate_it(
    board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser
) -> None:
    ops = administrator(board, "ops@example.com", PLATFORM)
    inside = ops.headers | {"X-Tenant-ID": "default", "X-Acting-Reason": "ticket 17"}
    assert emails(client.get(USERS, headers=inside)) == ["admin@example.com"]
    made = client.post(USERS, json={**BOB, "roles": ["admin"]}, headers=inside)
    assert (made.status_code, made.get_json()["roles"]) == (201, ["admin", "user"])
    audited = superuser.execute(
        "select tenant_id, actor_id::text, acting_reason from core_audit where action = 'auth.user_created'"
    ).fetchall()
    assert audited == [(DEFAULT.id, ops.id, "ticket 17")]
    assert code(client.post(f"{USERS}/{ops.id}/disable", headers=inside)) == (404, "NOT_FOUND")
    assert code(client.post(f"{USERS}/{admin.id}/disable", headers=inside)) == (409, "LAST_ADMIN"), (
        "an administrator without a password cannot sign in, and so does not count"
    )
    promoted = client.put(f"{USERS}/{admin.id}/roles", json={"roles": ["super_admin"]}, headers=inside)
    assert code(promoted) in ((409, "LAST_ADMIN"), (422, "UNKNOWN_ROLE"))
    assert roles_of(board, admin.id) == ("admin", "user")


def test_an_account_of_the_platform_without_its_role_administrates_nowhere(
    board: Flask, client: FlaskClient, admin: Somebody
) -> None:
    clerk = somebody(board, "clerk@example.com", tenant=PLATFORM)
    assert code(client.get(USERS, headers=clerk.headers)) == (403, "FORBIDDEN")
    inside = clerk.headers | {"X-Tenant-ID": "default", "X-Acting-Reason": "curiosity"}
    assert code(client.get(USERS, headers=inside)) == (403, "TENANT_MISMATCH")
