"""Signing in by cookies: tokens out of reach of scripts, and nothing done for a page that tricks its reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from auth_helpers import PASSWORD, SignUp, code
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

LOG_IN = {"email": "alice@example.com", "password": PASSWORD, "delivery": "cookies"}
ELSEWHERE = {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}


@pytest.fixture
def signed_in(client: FlaskClient, sign_up: SignUp) -> dict[str, Any]:
    sign_up()
    reply = client.post("/api/auth/login", json=LOG_IN)
    assert reply.status_code == 200
    found: dict[str, Any] = reply.get_json()
    return found


def refresh(client: FlaskClient, **headers: str) -> TestResponse:
    return client.post("/api/auth/refresh", json={}, headers=headers)


def test_the_tokens_come_as_cookies_and_not_in_the_body(client: FlaskClient, sign_up: SignUp) -> None:
    sign_up()
    reply = client.post("/api/auth/login", json=LOG_IN)
    assert set(reply.get_json()) == {"csrf_token", "token_type", "expires_in", "session_id", "user"}
    access, refreshing = reply.headers.getlist("Set-Cookie")
    assert access.startswith("pb_access=ey") and "Path=/;" in access and "SameSite=Lax" in access
    assert refreshing.startswith("pb_refresh=pbr1.") and "Path=/api/auth/refresh;" in refreshing
    assert "SameSite=Strict" in refreshing
    assert all("HttpOnly" in line and "Max-Age=604800" in line for line in (access, refreshing))


def test_a_cookie_signs_in_and_what_changes_something_needs_the_token(
    client: FlaskClient, signed_in: dict[str, Any]
) -> None:
    assert client.get("/api/auth/me").get_json()["email"] == "alice@example.com"
    change = {"display_name": "Alice Liddell"}
    assert code(client.patch("/api/auth/me", json=change)) == (403, "CSRF_FAILED")
    good = {"X-CSRF-Token": signed_in["csrf_token"]}
    assert code(client.patch("/api/auth/me", json=change, headers=good | ELSEWHERE)) == (403, "CSRF_FAILED")
    assert client.patch("/api/auth/me", json=change, headers=good).get_json()["display_name"] == "Alice Liddell"


def test_the_refresh_cookie_rotates_and_a_page_loaded_anew_gets_its_csrf_token_back(
    client: FlaskClient, signed_in: dict[str, Any]
) -> None:
    before = client.get_cookie("pb_refresh", path="/api/auth/refresh")
    reply = refresh(client)
    after = client.get_cookie("pb_refresh", path="/api/auth/refresh")
    assert reply.status_code == 200 and before and after and before.value != after.value
    assert reply.get_json()["csrf_token"]
    assert client.get("/api/auth/csrf").get_json()["csrf_token"]
    assert "refresh_token" not in reply.get_json()


def test_another_sites_page_neither_refreshes_nor_signs_its_reader_in(
    client: FlaskClient, signed_in: dict[str, Any]
) -> None:
    assert code(refresh(client, **ELSEWHERE)) == (403, "CSRF_FAILED")
    assert code(client.post("/api/auth/login", json=LOG_IN, headers=ELSEWHERE)) == (403, "CSRF_FAILED")
    body = LOG_IN | {"delivery": "json"}
    assert client.post("/api/auth/login", json=body, headers=ELSEWHERE).status_code == 200, "it gets what anybody gets"


def test_logging_out_takes_the_cookies_away_and_ends_the_session(
    client: FlaskClient, signed_in: dict[str, Any]
) -> None:
    reply = client.post("/api/auth/logout", headers={"X-CSRF-Token": signed_in["csrf_token"]})
    assert reply.status_code == 204
    assert all("Max-Age=0" in line for line in reply.headers.getlist("Set-Cookie"))
    assert code(client.get("/api/auth/me")) == (401, "TOKEN_MISSING")
    assert code(refresh(client)) == (401, "TOKEN_MISSING")


def test_registering_by_cookies_and_its_key(client: FlaskClient) -> None:
    body = {**LOG_IN, "display_name": "Alice"}
    first = client.post("/api/auth/register", json=body, headers={"Idempotency-Key": "k"})
    assert (first.status_code, len(first.headers.getlist("Set-Cookie"))) == (201, 2)
    again = client.post("/api/auth/register", json=body, headers={"Idempotency-Key": "k"})
    assert again.status_code == 409, "a reply with cookies is not kept: it says that the work is done"


def test_over_https_the_names_carry_their_prefix(
    make_board: Callable[..., Any], client: FlaskClient, sign_up: SignUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_up()
    monkeypatch.setenv("API_URL", "https://board.example.com")
    secure = make_board("web").test_client()
    lines = secure.post("/api/auth/login", json=LOG_IN).headers.getlist("Set-Cookie")
    assert [line.partition("=")[0] for line in lines] == ["__Host-pb_access", "__Secure-pb_refresh"]
    assert all("; Secure" in line for line in lines)
