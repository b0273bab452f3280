"""Keys that change without anybody being logged out, the keys that are published, and introspection."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from auth_helpers import PASSWORD, MakeLink, SignUp, bearer, code
from flask import Flask
from flask.testing import FlaskClient
from forgery import Forger, pem, private_key

from core.contracts import Tenant
from core.data import DEFAULT, PLATFORM, acting_in, db
from core.data.redis import clear_caches
from core.errors import DATABASE_UNAVAILABLE, Refused
from plugins.auth.services import introspection

KEYS = "/.well-known/jwks.json"
INTROSPECT = "/api/auth/introspect"
NEW, OLD = pem(private_key("RS256")), pem(private_key("RS256", which=1))
CURVE, EDWARDS = pem(private_key("ES256")), pem(private_key("EdDSA"))
ACCOUNT = {"email": "alice@example.com", "password": PASSWORD}

Boards = Callable[..., FlaskClient]


@pytest.fixture
def board_with(board: Flask, make_board: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> Boards:
    """A client of a board on the same data, with other keys."""

    def make(**environ: str) -> FlaskClient:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            return make_board("web").test_client()

    return make


def log_in(client: FlaskClient) -> dict[str, str]:
    reply = client.post("/api/auth/login", json=ACCOUNT)
    assert reply.status_code == 200, reply.text
    return bearer(reply.json["access_token"])


def me(client: FlaskClient, token: dict[str, str]) -> Any:
    reply = client.get("/api/auth/me", headers=token)
    return reply.status_code if reply.status_code == 200 else code(reply)


REFUSED = (401, "TOKEN_INVALID")


# -- changing keys ------------------------------------------------------------------------------------------------


def test_a_new_first_key_logs_nobody_out_and_a_retired_one_ends(sign_up: SignUp, board_with: Boards) -> None:
    sign_up()
    before = board_with(JWT_PRIVATE_KEYS=OLD)
    announced = board_with(JWT_PRIVATE_KEYS=OLD + NEW)
    after = board_with(JWT_PRIVATE_KEYS=NEW + OLD)
    retired = board_with(JWT_PRIVATE_KEYS=NEW)
    old, new = log_in(before), log_in(after)
    assert jwt.get_unverified_header(old["Authorization"][7:])["kid"] == kids(before)[0]
    assert jwt.get_unverified_header(new["Authorization"][7:])["kid"] == kids(after)[0] != kids(before)[0]
    assert [me(client, old) for client in (before, announced, after, retired)] == [200, 200, 200, REFUSED]
    # Processes restart one by one: the new key signs only when all of them know it.
    assert [me(client, new) for client in (before, announced, after, retired)] == [REFUSED, 200, 200, 200]
    assert log_in(announced)["Authorization"][7:].split(".")[0] == old["Authorization"][7:].split(".")[0]


@pytest.mark.parametrize("keys", [NEW, CURVE, EDWARDS], ids=["RS256", "ES256", "EdDSA"])
def test_the_switch_from_a_shared_secret_logs_nobody_out(sign_up: SignUp, board_with: Boards, keys: str) -> None:
    sign_up()
    secret = "Zk4mBw9TqL2xVr7NcD5yHs8PgJf3aUeX6"
    shared = board_with(JWT_ACCESS_SECRET=secret)
    switched = board_with(JWT_ACCESS_SECRET=secret, JWT_PRIVATE_KEYS=keys)
    retired = board_with(JWT_PRIVATE_KEYS=keys)
    old, new = log_in(shared), log_in(switched)
    assert [me(client, old) for client in (shared, switched, retired)] == [200, 200, REFUSED]
    assert [me(client, new) for client in (shared, switched, retired)] == [REFUSED, 200, 200]


def test_the_switch_from_derived_keys_logs_nobody_out(
    client: FlaskClient, sign_up: SignUp, board_with: Boards, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = bearer(sign_up()["access_token"])
    switched = board_with(JWT_PRIVATE_KEYS=NEW)
    other = "Wd5nQx8RtB3kLm6HvZ9sYc2JfGp7aEuT4"
    retired = board_with(JWT_PRIVATE_KEYS=NEW, SECRET_KEYS=other)
    new = log_in(switched)
    assert [me(each, old) for each in (client, switched, retired)] == [200, 200, REFUSED]
    assert [me(each, new) for each in (client, switched, retired)] == [REFUSED, 200, 200]


def test_a_token_of_a_retired_key_is_refused_like_any_other(sign_up: SignUp, board_with: Boards) -> None:
    account = sign_up()
    before, retired = board_with(JWT_PRIVATE_KEYS=OLD), board_with(JWT_PRIVATE_KEYS=NEW)
    forger = Forger(before.application, "RS256", sub=account["user"]["id"], sid=account["session_id"])
    assert me(before, bearer(forger.token())) == 200
    assert me(retired, bearer(forger.token())) == REFUSED
    kid = kids(retired)[0]
    assert me(retired, bearer(forger.token({"kid": kid}))) == REFUSED


# -- the published keys -------------------------------------------------------------------------------------------


def kids(client: FlaskClient) -> list[str]:
    return [key["kid"] for key in client.get(KEYS).json["keys"]]


def test_a_board_without_private_keys_publishes_none(client: FlaskClient) -> None:
    reply = client.get(KEYS)
    assert (reply.status_code, reply.mimetype, reply.json) == (200, "application/json", {"keys": []})


def test_others_verify_with_what_is_published(sign_up: SignUp, board_with: Boards) -> None:
    sign_up()
    for first in (NEW, CURVE, EDWARDS):
        client = board_with(JWT_PRIVATE_KEYS=first + "".join({NEW, CURVE, EDWARDS} - {first}))
        published = client.get(KEYS).json
        assert {key["alg"]: key["kty"] for key in published["keys"]} == {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
        assert {key["use"] for key in published["keys"]} == {"sig"}
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"}.intersection(*map(set, published["keys"]))
        token = log_in(client)["Authorization"][7:]
        key = jwt.PyJWKSet.from_dict(published)[jwt.get_unverified_header(token)["kid"]]
        issuer = client.application.config["JWT_ENCODE_ISSUER"]
        claims = jwt.decode(token, key, audience="pegboard", issuer=issuer)
        assert claims["tid"] == str(DEFAULT.id)


def test_the_published_keys_are_cacheable_for_anyone(board_with: Boards) -> None:
    client = board_with(JWT_PRIVATE_KEYS=NEW)
    reply = client.get(KEYS, headers={"X-Tenant-ID": "nowhere"})
    assert (reply.status_code, reply.headers["Cache-Control"]) == (200, "public, max-age=300")
    again = client.get(KEYS, headers={"If-None-Match": reply.headers["ETag"]})
    assert (again.status_code, again.data, again.headers["Cache-Control"]) == (304, b"", "public, max-age=300")
    assert client.head(KEYS).headers["ETag"] == reply.headers["ETag"]
    other = board_with(JWT_PRIVATE_KEYS=NEW + OLD).get(KEYS, headers={"If-None-Match": reply.headers["ETag"]})
    assert other.status_code == 200
    assert client.post(KEYS).status_code == 405


def test_the_keys_are_published_while_the_database_is_away(board_with: Boards, monkeypatch: pytest.MonkeyPatch) -> None:
    client = board_with(JWT_PRIVATE_KEYS=NEW)
    with client.application.app_context():
        monkeypatch.setattr(db.engine, "raw_connection", lambda *_: pytest.fail("asked the database"))
        monkeypatch.setattr(db.engine, "connect", lambda *_: pytest.fail("asked the database"))
    assert client.get(KEYS).status_code == 200


# -- introspection ------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(client: FlaskClient, make_link: MakeLink) -> dict[str, str]:
    """Someone who may ask."""
    reply = client.post("/api/auth/setup", json={"token": make_link(), "password": PASSWORD})
    return bearer(reply.json["access_token"])


def ask(client: FlaskClient, admin: dict[str, str], token: str, **more: Any) -> Any:
    reply = client.post(INTROSPECT, data={"token": token, **more}, headers=admin)
    assert reply.status_code == 200, reply.text
    assert reply.headers["Cache-Control"] == "no-store"
    return reply.json


def test_a_good_token_is_told_with_nothing_personal(
    client: FlaskClient, admin: dict[str, str], sign_up: SignUp
) -> None:
    account = sign_up()
    told = ask(client, admin, account["access_token"], token_type_hint="access_token")
    claims = jwt.decode(account["access_token"], options={"verify_signature": False})
    names = ("iss", "aud", "sub", "sid", "tid", "jti", "iat", "exp")
    assert told == {"active": True, "token_type": "access_token", **{name: claims[name] for name in names}}
    assert (told["sub"], told["sid"]) == (account["user"]["id"], account["session_id"])
    assert "alice" not in json.dumps(told).lower()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_tokens_of_every_algorithm_are_told(
    sign_up: SignUp, make_link: MakeLink, board_with: Boards, algorithm: str
) -> None:
    client = board_with(JWT_PRIVATE_KEYS=pem(private_key(algorithm)))
    reply = client.post("/api/auth/setup", json={"token": make_link(), "password": PASSWORD})
    told = ask(client, bearer(reply.json["access_token"]), reply.json["access_token"])
    assert (told["active"], told["sub"]) == (True, reply.json["user"]["id"])


def test_it_can_be_asked_in_json_too(client: FlaskClient, admin: dict[str, str], sign_up: SignUp) -> None:
    token = sign_up()["access_token"]
    body = {"token": token, "token_type_hint": "refresh_token", "client_id": "of another standard"}
    asked = client.post(INTROSPECT, json=body, headers=admin)
    assert asked.json == ask(client, admin, token)
    typed = "application/x-www-form-urlencoded; charset=UTF-8"
    assert client.post(INTROSPECT, data=f"token={token}", content_type=typed, headers=admin).json == asked.json


def bad_tokens(board: Flask, sub: str, sid: str) -> dict[str, str]:
    good = Forger(board, sub=sub, sid=sid)
    now = int(time.time())
    return {
        "expired": good.token(claims={"iat": now - 99, "exp": now - 1}),
        "not yet valid": good.token(claims={"nbf": now + 99}),
        "another audience": good.token(claims={"aud": "other"}),
        "a broken signature": good.token(key=b"x" * 32),
        "an unknown key": good.token({"kid": "unknown"}),
        "no algorithm": good.token({"alg": "none"}),
        "a refresh token by its claim": good.token(claims={"type": "refresh"}),
        "a refresh token": "pbr1.00000000000070008000000000000001.0190bbbb.7.ab12cd34.c2lnbmF0dXJl",
        "another tenant's": good.token(claims={"tid": str(PLATFORM.id)}),
        "an unknown tenant's": good.token(claims={"tid": sub}),
        "garbage": "garbage",
        "three parts of garbage": "a.b.c",
        "other scripts": "\u0442\u043e\u043a\u0435\u043d",
        "one space": " ",
        "oversized": "x" * 100_000,
        "a bearer header": f"Bearer {good.token()}",
        "a line break after it": good.token() + "\n",
    }


def test_of_what_is_not_good_nothing_is_told_but_that(
    board: Flask, client: FlaskClient, admin: dict[str, str], sign_up: SignUp
) -> None:
    account = sign_up()
    who = {"sub": account["user"]["id"], "sid": account["session_id"]}
    assert ask(client, admin, Forger(board, **who).token())["active"]
    for what, token in bad_tokens(board, **who).items():
        assert ask(client, admin, token) == {"active": False}, what
        assert client.post(INTROSPECT, json={"token": token}, headers=admin).json == {"active": False}, what


def test_of_a_sessions_refresh_tokens_the_current_one_is_active(
    client: FlaskClient, admin: dict[str, str], sign_up: SignUp
) -> None:
    account = sign_up()
    first = account["refresh_token"]
    told = ask(client, admin, first, token_type_hint="refresh_token")
    assert set(told) == {"active", "token_type", "sub", "sid", "tid", "exp"}
    assert (told["token_type"], told["sid"]) == ("refresh_token", account["session_id"])
    second = client.post("/api/auth/refresh", json={"refresh_token": first}).get_json()["refresh_token"]
    assert ask(client, admin, first) == {"active": False}, "used"
    assert ask(client, admin, second)["active"]
    client.post("/api/auth/logout", headers={"Authorization": f"Bearer {account['access_token']}"})
    assert ask(client, admin, second) == {"active": False}


def test_a_session_that_ended_is_not_active(
    client: FlaskClient, admin: dict[str, str], sign_up: SignUp, superuser: Any, board: Flask
) -> None:
    account = sign_up()
    assert ask(client, admin, account["access_token"])["active"]
    superuser.execute("update auth_users set active = false where email = 'alice@example.com'")
    with board.app_context():
        clear_caches()
    assert ask(client, admin, account["access_token"]) == {"active": False}


def test_a_tenant_learns_of_its_own_tokens_only(ctx: Flask, client: FlaskClient, sign_up: SignUp) -> None:
    """As staff of the platform ask who act inside: what counts is where one acts, not where one comes from."""
    token = sign_up()["access_token"]
    asked: list[tuple[Tenant, bool]] = []
    for tenant in (DEFAULT, PLATFORM):
        with acting_in(tenant):
            asked.append((tenant, introspection.introspect(token).active))
    assert asked == [(DEFAULT, True), (PLATFORM, False)]


def test_staff_of_the_platform_see_no_tenants_tokens_from_outside(
    client: FlaskClient, make_link: MakeLink, sign_up: SignUp
) -> None:
    link = {"token": make_link("ops@example.com", "super_admin", PLATFORM), "password": PASSWORD}
    own = client.post("/api/auth/setup", json=link).json["access_token"]
    assert ask(client, bearer(own), own)["tid"] == str(PLATFORM.id)
    assert ask(client, bearer(own), sign_up()["access_token"]) == {"active": False}


def test_only_who_holds_the_permission_may_ask(client: FlaskClient, admin: dict[str, str], sign_up: SignUp) -> None:
    token = sign_up()["access_token"]
    form = {"token": token}
    assert code(client.post(INTROSPECT, data=form)) == (401, "TOKEN_MISSING")
    assert code(client.post(INTROSPECT, data=form, headers=bearer("garbage"))) == REFUSED
    assert code(client.post(INTROSPECT, data=form, headers=bearer(token))) == (403, "FORBIDDEN")
    assert "tokens:introspect" in client.get("/api/auth/me", headers=admin).json["permissions"]


@pytest.mark.parametrize(
    ("form", "status", "name"),
    [
        ("", 422, "VALIDATION_FAILED"),
        ("token_type_hint=access_token", 422, "VALIDATION_FAILED"),
        ("token=", 422, "VALIDATION_FAILED"),
        ("token=a&token=b", 400, "MALFORMED_BODY"),
        ("token=%ff", 400, "MALFORMED_BODY"),
        ("token=\xe9", 400, "MALFORMED_BODY"),
        ("token=%00", 422, "VALIDATION_FAILED"),
        ("&".join(f"a{number}=1" for number in range(200)), 400, "MALFORMED_BODY"),
        ("token=" + "x" * 2**21, 413, "BODY_TOO_LARGE"),
    ],
    ids=["nothing", "no token", "empty", "twice", "bad UTF-8", "not ASCII", "NUL", "many fields", "two megabytes"],
)
def test_a_bad_form_is_the_callers_fault(
    client: FlaskClient, admin: dict[str, str], form: str, status: int, name: str
) -> None:
    typed = "application/x-www-form-urlencoded"
    assert code(client.post(INTROSPECT, data=form, content_type=typed, headers=admin)) == (status, name)


def test_other_content_types_and_routes_stay_as_they_were(client: FlaskClient, admin: dict[str, str]) -> None:
    for kind in ("text/plain", "multipart/form-data; boundary=x", ""):
        asked = client.post(INTROSPECT, data="token=x", content_type=kind, headers=admin)
        assert code(asked) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert code(client.post("/api/auth/login", data=ACCOUNT)) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_an_answer_is_not_kept_for_repetition(
    board: Flask, client: FlaskClient, admin: dict[str, str], sign_up: SignUp, superuser: Any
) -> None:
    token, once = sign_up()["access_token"], {**admin, "Idempotency-Key": "one"}
    assert client.post(INTROSPECT, data={"token": token}, headers=once).json["active"]
    superuser.execute("update auth_users set active = false where email = 'alice@example.com'")
    with board.app_context():
        clear_caches()
    assert client.post(INTROSPECT, data={"token": token}, headers=once).json == {"active": False}


def test_a_store_that_is_away_is_no_verdict(
    client: FlaskClient, admin: dict[str, str], sign_up: SignUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(token: str) -> None:
        raise Refused(DATABASE_UNAVAILABLE)

    token = sign_up()["access_token"]
    monkeypatch.setattr(introspection, "read_access_token", away)
    assert code(client.post(INTROSPECT, data={"token": token}, headers=admin)) == (503, "DATABASE_UNAVAILABLE")


def test_both_forms_are_documented(client: FlaskClient) -> None:
    said = client.get("/openapi.json").json["paths"]
    content = said[INTROSPECT]["post"]["requestBody"]["content"]
    assert list(content) == ["application/json", "application/x-www-form-urlencoded"]
    assert list(said["/api/auth/login"]["post"]["requestBody"]["content"]) == ["application/json"]
    assert said[KEYS]["get"]["x-access"] == "anyone"
