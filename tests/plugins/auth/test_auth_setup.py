"""The first administrator: the command, the link, its one use."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from auth_helpers import PASSWORD, MakeLink, SignUp, bearer, code
from flask import Flask
from flask.testing import FlaskClient

from core.data import PLATFORM
from core.data.tenancy import DEFAULT

GARBAGE = [
    "x",
    "pbl1",
    "pbl1..",
    "pbl1." + "0" * 32 + "." + "A" * 43,
    f"pbl1.{DEFAULT.id.hex}." + "A" * 43,
    f"pbl1.{DEFAULT.id.hex}." + "A" * 42,
    f"pbl1.{DEFAULT.id.hex}." + "Ａ" * 43,
    "x" * 200,
]


@pytest.fixture
def flask_auth(board: Flask, make_board: Callable[..., Flask]) -> Callable[..., Any]:
    """`flask auth …` in this process."""
    app = make_board("cli")
    return lambda *arguments: app.test_cli_runner().invoke(args=["auth", *arguments])


def redeem(client: FlaskClient, token: str, password: str = PASSWORD, **headers: str) -> Any:
    return client.post("/api/auth/setup", json={"token": token, "password": password}, headers=headers)


def printed_token(output: str) -> str:
    found = re.fullmatch(r"http://127\.0\.0\.1:8000/auth/setup#token=(\S+)\n", output)
    assert found, output
    return found[1]


def test_the_printed_link_makes_an_administrator(client: FlaskClient, flask_auth: Callable[..., Any]) -> None:
    result = flask_auth("admin", "Admin@Example.com")
    assert result.exit_code == 0, result.output
    reply = redeem(client, printed_token(result.output))
    assert reply.status_code == 200
    assert set(reply.get_json()) == {"access_token", "refresh_token", "token_type", "expires_in", "session_id", "user"}
    me = client.get("/api/auth/me", headers=bearer(reply.get_json()["access_token"])).get_json()
    assert (me["email"], me["tenant_id"]) == ("admin@example.com", str(DEFAULT.id))
    assert "admin" in me["roles"]
    assert "users:write" in me["permissions"]
    assert client.post("/api/auth/login", json={"email": "admin@example.com", "password": PASSWORD}).status_code == 200


def test_platform_staff_belong_to_the_platform(client: FlaskClient, flask_auth: Callable[..., Any]) -> None:
    token = printed_token(flask_auth("admin", "ops@example.com", "--platform").output)
    reply = redeem(client, token)
    me = client.get("/api/auth/me", headers=bearer(reply.get_json()["access_token"])).get_json()
    assert me["tenant_id"] == str(PLATFORM.id)
    assert "super_admin" in me["roles"]
    log_in = {"email": "ops@example.com", "password": PASSWORD}
    assert client.post("/api/auth/login", json=log_in).status_code == 401
    assert client.post("/api/auth/login", json=log_in, headers={"X-Tenant-ID": "platform"}).status_code == 200


def test_staff_who_act_inside_a_tenant_are_still_themselves(client: FlaskClient, make_link: MakeLink) -> None:
    token = redeem(client, make_link("ops@example.com", "super_admin", PLATFORM)).get_json()["access_token"]
    headers = bearer(token) | {"X-Tenant-ID": "default", "X-Acting-Reason": "ticket 17"}
    me = client.get("/api/auth/me", headers=headers)
    assert (me.status_code, me.get_json()["email"]) == (200, "ops@example.com")


def test_if_none_prints_a_link_only_while_there_is_no_administrator(
    client: FlaskClient, flask_auth: Callable[..., Any], sign_up: SignUp
) -> None:
    sign_up()
    first = flask_auth("admin", "--if-none", "admin@example.com")
    again = flask_auth("admin", "--if-none", "admin@example.com")
    assert redeem(client, printed_token(first.output)).status_code == 410, "a newer link replaces the older one"
    assert redeem(client, printed_token(again.output)).status_code == 200
    third = flask_auth("admin", "--if-none", "other@example.com")
    assert (third.exit_code, third.output) == (0, "")
    assert flask_auth("admin", "--if-none", "--platform", "ops@example.com").output != ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("admin", "nobody"),
        ("admin", "a@example.com", "--tenant", "nowhere"),
        ("admin", "a@example.com", "--tenant", "platform"),
        ("admin",),
    ],
)
def test_the_command_says_what_is_wrong(flask_auth: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    result = flask_auth(*arguments)
    assert result.exit_code != 0
    assert "Error:" in result.output
    assert "Traceback" not in result.output


def test_until_the_link_is_redeemed_nobody_is_administrator(
    client: FlaskClient, make_link: MakeLink, sign_up: SignUp, superuser: psycopg.Connection[Any]
) -> None:
    make_link("admin@example.com")
    taken = {"email": "admin@example.com", "password": PASSWORD, "display_name": "Eve"}
    assert code(client.post("/api/auth/register", json=taken)) == (409, "EMAIL_TAKEN")
    assert superuser.execute("select count(*) from core_role_assignments").fetchone() == (0,)


def test_sessions_from_before_the_link_end_with_it(client: FlaskClient, make_link: MakeLink, sign_up: SignUp) -> None:
    """Somebody may have registered the administrator's address first: that session must not be promoted."""
    squatter = bearer(sign_up("admin@example.com", password="squatters own")["access_token"])
    assert client.get("/api/auth/me", headers=squatter).status_code == 200
    fresh = redeem(client, make_link("admin@example.com")).get_json()
    assert code(client.get("/api/auth/me", headers=squatter)) == (401, "TOKEN_INVALID")
    assert client.get("/api/auth/me", headers=bearer(fresh["access_token"])).status_code == 200
    log_in = {"email": "admin@example.com", "password": "squatters own"}
    assert client.post("/api/auth/login", json=log_in).status_code == 401


def test_ten_at_once_redeem_a_link_once(board: Flask, make_link: MakeLink, superuser: psycopg.Connection[Any]) -> None:
    token = make_link()

    def attempt(number: int) -> int:
        return int(redeem(board.test_client(), token, f"password number {number}").status_code)

    with ThreadPoolExecutor(10) as pool:
        answers = sorted(pool.map(attempt, range(10)))
    assert answers == [200] + [410] * 9
    told = superuser.execute("select count(*) from core_audit where action = 'auth.setup_link_used'").fetchone()
    assert told == (1,)


def test_a_link_works_once(client: FlaskClient, make_link: MakeLink) -> None:
    token = make_link()
    assert redeem(client, token).status_code == 200
    assert code(redeem(client, token, "another password")) == (410, "LINK_INVALID")


def test_an_expired_link_is_no_link(
    client: FlaskClient, make_link: MakeLink, superuser: psycopg.Connection[Any]
) -> None:
    token = make_link()
    superuser.execute("update auth_links set expires_at = now() - interval '1 second'")
    assert code(redeem(client, token)) == (410, "LINK_INVALID")


def test_an_unacceptable_password_leaves_the_link_alone(client: FlaskClient, make_link: MakeLink) -> None:
    token = make_link()
    assert code(redeem(client, token, "short")) == (422, "VALIDATION_FAILED")
    assert redeem(client, token).status_code == 200


@pytest.mark.parametrize("token", GARBAGE)
def test_garbage_is_refused_without_a_hash(
    client: FlaskClient, make_link: MakeLink, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_link()
    monkeypatch.setattr("plugins.auth.services.setup_links.chosen", lambda password: pytest.fail("hashed for garbage"))
    reply = redeem(client, token)
    assert reply.status_code in (404, 410)
    assert reply.get_json()["code"] in ("LINK_INVALID", "UNKNOWN_TENANT")


def test_a_link_belongs_to_its_tenant(client: FlaskClient, make_link: MakeLink) -> None:
    token = make_link()
    moved = token.replace(DEFAULT.id.hex, PLATFORM.id.hex)
    assert code(redeem(client, moved)) == (410, "LINK_INVALID")
    assert code(redeem(client, token, **{"X-Tenant-ID": "platform"})) == (403, "TENANT_MISMATCH")
    assert redeem(client, token).status_code == 200


def test_only_a_digest_of_the_token_is_kept(make_link: MakeLink, superuser: psycopg.Connection[Any]) -> None:
    token = make_link()
    row = superuser.execute("select l::text from auth_links l").fetchone()
    assert row
    assert token not in row[0]
    assert token.rpartition(".")[2] not in row[0]


@pytest.mark.parametrize("name", ["setup", "invite", "verify", "reset", "email", "forgot"])
def test_the_pages_keep_the_token_in_the_fragment(client: FlaskClient, name: str) -> None:
    page = client.get(f"/auth/{name}")
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script src=" in page.text
    assert not re.search(r"<script>|<style|style=| on\w+=", page.text)
    with client.get("/auth/links.js") as script:
        assert script.mimetype == "text/javascript"
        assert "location.hash" in script.text
    assert page.headers["Referrer-Policy"] in ("same-origin", "no-referrer")
