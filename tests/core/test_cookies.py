"""Credentials in cookies: how they are written and read, and what keeps other sites from using them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from small_board import small_board, token_for

from core.config import Secret
from core.contracts import Authenticator, Principal
from core.data.models import new_id
from core.data.tenancy import DEFAULT
from core.errors import CSRF_FAILED, REDIS_UNAVAILABLE, Refused
from core.trust import identity, secrets
from core.trust.identity import current_principal
from core.trust.permissions import public, signed_in, tenantless
from core.web.cookies import ACCESS_COOKIE, LONGEST, Cookie
from core.web.csrf import check_csrf, check_origin, csrf_token
from core.web.replies import Accepted, Created, NoContent, Reply
from core.web.routes import Routes
from core.web.throttling import Throttle

pytestmark = pytest.mark.unit

WHO = UUID("0198c2f1-0000-7000-8000-0000000000aa")
SESSION = UUID("0198c2f1-0000-7000-8000-0000000000cc")
BOARD = "https://board.example.com"
SHOP = "https://shop.example.com"
EVIL = "https://evil.example.com"
NAMED = Cookie("small_key", path="/api/small/keyed")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Caller(msgspec.Struct):
    kind: str
    id: UUID | None


def caller() -> Caller:
    return Caller(current_principal().kind, current_principal().id)


def board(**given: Any) -> Flask:
    routes = Routes("plugins.small.views")

    @routes.route("/mine", methods=METHODS)
    @signed_in
    def mine() -> Caller:
        return caller()

    @routes.route("/open", methods=METHODS)
    @public
    def open_() -> Caller:
        return caller()

    @routes.post("/keyed")
    @public
    @tenantless
    def keyed() -> dict[str, str | None]:
        check_origin()
        return {"key": NAMED.given()}

    @routes.post("/in")
    @public
    def enter() -> Reply[Caller]:
        cookies = [ACCESS_COOKIE.set("abc", 900), NAMED.set("def", 60)]
        return Reply(caller(), etag='"1"', headers={"X-Extra": "yes"}, cookies=cookies)

    @routes.post("/made")
    @public
    def made() -> Created[Caller]:
        return Created(caller(), location="/there", cookies=["a=1", "b=2"])

    @routes.post("/begun")
    @public
    def begun() -> Accepted[Caller]:
        return Accepted(caller(), location="/there", cookies=["a=1", "b=2"])

    @routes.post("/out")
    @public
    def leave() -> NoContent:
        return NoContent(headers={"X-Extra": "yes"}, cookies=[ACCESS_COOKIE.clear(), NAMED.clear()])

    @routes.get("/raw")
    @public
    def raw() -> Response:
        return Response("shared", headers={"Cache-Control": "public, max-age=60"})

    values: dict[str, Any] = {"app_env": "production", "api_url": BOARD, "client_url": (SHOP,)}
    return small_board(routes, **{**values, **given})


@pytest.fixture(scope="module")
def site() -> Flask:
    return board()


@pytest.fixture
def http(site: Flask) -> FlaskClient:
    """Sends the cookies that a test writes down and keeps none."""
    return site.test_client(use_cookies=False)


def token(app: Flask, session: UUID = SESSION) -> str:
    with app.app_context():
        return identity.mint_access_token(WHO, session, DEFAULT.id)[0]


@pytest.fixture
def cookie(site: Flask) -> dict[str, str]:
    return {"Cookie": f"__Host-pb_access={token(site)}"}


@pytest.fixture
def csrf(site: Flask) -> dict[str, str]:
    with site.app_context():
        return {"X-CSRF-Token": csrf_token(SESSION)}


def code_of(reply: Any) -> tuple[int, str]:
    return reply.status_code, reply.json.get("code") or reply.json["kind"]


# -- how they are written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app_env", "api_url"),
    [("production", BOARD), ("production", "http://board.example.com"), ("development", "HTTPS://board.example.com")],
)
def test_over_https_and_in_production_they_are_secure_and_prefixed(app_env: str, api_url: str) -> None:
    with board(app_env=app_env, api_url=api_url).app_context():
        assert ACCESS_COOKIE.set("abc", 900) == (
            "__Host-pb_access=abc; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax"
        )
        assert NAMED.set("a.b-c_d", 60) == (
            "__Secure-small_key=a.b-c_d; Path=/api/small/keyed; Max-Age=60; Secure; HttpOnly; SameSite=Strict"
        )
        assert ACCESS_COOKIE.clear() == "__Host-pb_access=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"


def test_in_development_over_http_they_are_bare() -> None:
    with board(app_env="development", api_url="http://127.0.0.1:8000").app_context():
        assert ACCESS_COOKIE.set("abc", 900) == "pb_access=abc; Path=/; Max-Age=900; HttpOnly; SameSite=Lax"
        assert NAMED.clear() == "small_key=; Path=/api/small/keyed; Max-Age=0; HttpOnly; SameSite=Strict"


@pytest.mark.parametrize("value", ["", "a b", "a; Domain=b", "a,b", 'a"b', "a\\b", "a\r\nb", "a\n", "ä"])
def test_a_value_that_would_be_read_as_something_else_is_not_written(site: Flask, value: str) -> None:
    with site.app_context(), pytest.raises(ValueError, match="no cookie may have"):
        ACCESS_COOKIE.set(value, 900)


def test_a_value_that_browsers_would_drop_is_not_written(site: Flask) -> None:
    room = LONGEST - len("__Host-pb_access")
    with site.app_context():
        assert "a" * room in ACCESS_COOKIE.set("a" * room, 900)
        with pytest.raises(ValueError, match="longer than browsers keep"):
            ACCESS_COOKIE.set("a" * (room + 1), 900)


def test_a_reply_carries_several(http: FlaskClient) -> None:
    reply = http.post("/api/small/in")
    assert reply.json == {"kind": "anonymous", "id": None}
    assert reply.headers.getlist("Set-Cookie") == [
        "__Host-pb_access=abc; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax",
        "__Secure-small_key=def; Path=/api/small/keyed; Max-Age=60; Secure; HttpOnly; SameSite=Strict",
    ]
    assert (reply.headers["ETag"], reply.headers["X-Extra"]) == ('"1"', "yes")
    assert reply.headers["Cache-Control"] == "no-store"
    for path, status in (("made", 201), ("begun", 202)):
        reply = http.post(f"/api/small/{path}")
        assert (reply.status_code, reply.headers["Location"]) == (status, "/there")
        assert reply.headers.getlist("Set-Cookie") == ["a=1", "b=2"]


def test_a_reply_without_content_carries_them_too(http: FlaskClient) -> None:
    reply = http.post("/api/small/out")
    assert (reply.status_code, reply.data, reply.headers["X-Extra"]) == (204, b"", "yes")
    assert [line.partition(";")[0] for line in reply.headers.getlist("Set-Cookie")] == [
        "__Host-pb_access=",
        "__Secure-small_key=",
    ]
    assert "Content-Type" not in reply.headers


def test_what_is_given_to_a_cookies_owner_stays_in_no_cache(http: FlaskClient, cookie: dict[str, str]) -> None:
    assert http.get("/api/small/mine", headers=cookie).headers["Cache-Control"] == "no-store"
    assert http.get("/nowhere", headers=cookie).headers["Cache-Control"] == "no-store"
    assert http.get("/api/small/raw", headers=cookie).headers["Cache-Control"] == "public, max-age=60"


# -- how they are read --------------------------------------------------------------------------------------------


def test_the_cookie_signs_in(http: FlaskClient, cookie: dict[str, str]) -> None:
    signed = {"kind": "user", "id": str(WHO)}
    assert http.get("/api/small/mine", headers=cookie).json == signed
    assert http.get("/api/small/open", headers=cookie).json == signed
    among_others = {"Cookie": f"a=1;{cookie['Cookie']} ; b=2"}
    assert http.get("/api/small/mine", headers=among_others).json == signed
    assert code_of(http.get("/api/small/mine")) == (401, "TOKEN_MISSING")


def test_only_the_name_of_this_environment_counts(site: Flask) -> None:
    bare = board(app_env="development", api_url="http://127.0.0.1:8000")
    for app, name, expected in (
        (site, "__Host-pb_access", (200, "user")),
        (site, "pb_access", (401, "TOKEN_MISSING")),
        (site, "__Secure-pb_access", (401, "TOKEN_MISSING")),
        (site, "__host-pb_access", (401, "TOKEN_MISSING")),
        (bare, "pb_access", (200, "user")),
        (bare, "__Host-pb_access", (401, "TOKEN_MISSING")),
    ):
        headers = {"Cookie": f"{name}={token(app)}"}
        assert code_of(app.test_client(use_cookies=False).get("/api/small/mine", headers=headers)) == expected, name


def test_a_cookie_that_came_twice_is_refused(http: FlaskClient, site: Flask, csrf: dict[str, str]) -> None:
    mine, planted = token(site), token(site, new_id())
    for first, second in ((mine, planted), (planted, mine), (mine, mine), (mine, ""), ("", mine)):
        headers = {"Cookie": f"__Host-pb_access={first}; __Host-pb_access={second}"}
        reply = http.get("/api/small/mine", headers=headers)
        assert code_of(reply) == (401, "TOKEN_INVALID")
        assert "twice" in reply.json["detail"]
        assert code_of(http.post("/api/small/open", headers={**headers, **csrf})) == (200, "anonymous")
    joined = {"Cookie": f"__Host-pb_access={mine},__Host-pb_access={planted}"}
    assert code_of(http.get("/api/small/mine", headers=joined)) == (401, "TOKEN_INVALID"), "as servers join two headers"


@pytest.mark.parametrize("space", ["\u2000", "\u00a0", "\u0085", "\u3000", "\x1c", "\x0b"])
def test_a_name_that_begins_with_odd_white_space_is_another(
    http: FlaskClient, cookie: dict[str, str], space: str
) -> None:
    planted = f"{space}{cookie['Cookie']}".encode().decode("latin-1")
    alone = http.get("/api/small/mine", environ_overrides={"HTTP_COOKIE": planted})
    assert code_of(alone) == (401, "TOKEN_MISSING")
    beside = http.get("/api/small/mine", environ_overrides={"HTTP_COOKIE": f"{planted}; {cookie['Cookie']}"})
    assert code_of(beside) == (200, "user")


def test_quotes_hide_no_cookie_and_bring_none(http: FlaskClient, cookie: dict[str, str]) -> None:
    sandwich = {"Cookie": f'a="1; {cookie["Cookie"]}; b=2"'}
    assert code_of(http.get("/api/small/mine", headers=sandwich)) == (200, "user")
    quoted = {"Cookie": cookie["Cookie"].replace("=", '="', 1) + '"'}
    assert code_of(http.get("/api/small/mine", headers=quoted)) == (401, "TOKEN_INVALID")


def test_an_empty_cookie_is_none(http: FlaskClient) -> None:
    for header in ("__Host-pb_access=", "__Host-pb_access", "__Host-pb_access2=x", "=", ";;"):
        assert code_of(http.get("/api/small/mine", headers={"Cookie": header})) == (401, "TOKEN_MISSING")


def test_expired_and_invalid_are_told_apart_unless_the_route_is_public(
    http: FlaskClient, site: Flask, csrf: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(site.config, "JWT_ACCESS_TOKEN_EXPIRES", timedelta(seconds=-5))
        headers = {"Cookie": f"__Host-pb_access={token(site)}", **csrf}
    reply = http.get("/api/small/mine", headers=headers)
    assert code_of(reply) == (401, "TOKEN_EXPIRED")
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
    assert code_of(http.post("/api/small/mine", headers=headers)) == (401, "TOKEN_EXPIRED")
    assert code_of(http.post("/api/small/open", headers=headers)) == (200, "anonymous")
    good = token(site)
    for bad in ("nonsense", "a.b.c", good[:-2], f"Bearer {good}", "x" * 5000):
        headers = {"Cookie": f"__Host-pb_access={bad}", **csrf}
        assert code_of(http.get("/api/small/mine", headers=headers)) == (401, "TOKEN_INVALID")
        assert code_of(http.post("/api/small/open", headers=headers)) == (200, "anonymous")


def test_an_outage_is_no_bad_credential() -> None:
    class Away:
        def session_stands(self, who: Principal, issued_at: int) -> bool:
            raise Refused(REDIS_UNAVAILABLE)

    app = board()
    app.extensions["pegboard.services"].provide(Authenticator, "away", Away)
    headers = {"Cookie": f"__Host-pb_access={token(app)}"}
    reply = app.test_client(use_cookies=False).get("/api/small/open", headers=headers)
    assert code_of(reply) == (503, "REDIS_UNAVAILABLE")


def test_a_cookie_of_ones_own_is_read_by_its_name(http: FlaskClient) -> None:
    assert http.post("/api/small/keyed", headers={"Cookie": "__Secure-small_key=k.1"}).json == {"key": "k.1"}
    assert http.post("/api/small/keyed", headers={"Cookie": "small_key=k.1"}).json == {"key": None}
    assert http.post("/api/small/keyed").json == {"key": None}
    twice = http.post("/api/small/keyed", headers={"Cookie": "__Secure-small_key=a; __Secure-small_key=b"})
    assert code_of(twice) == (401, "TOKEN_INVALID")


# -- forged requests ----------------------------------------------------------------------------------------------


def test_what_only_reads_needs_no_token(http: FlaskClient, cookie: dict[str, str]) -> None:
    from_elsewhere = {**cookie, "Origin": EVIL, "Sec-Fetch-Site": "cross-site"}
    assert code_of(http.get("/api/small/mine", headers=cookie)) == (200, "user")
    assert code_of(http.get("/api/small/mine", headers=from_elsewhere)) == (200, "user")
    assert http.head("/api/small/mine", headers=from_elsewhere).status_code == 200
    assert http.options("/api/small/mine", headers=from_elsewhere).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_changes_something_needs_the_sessions_token(
    http: FlaskClient, cookie: dict[str, str], csrf: dict[str, str], method: str
) -> None:
    reply = http.open("/api/small/mine", method=method, headers=cookie)
    assert code_of(reply) == (403, "CSRF_FAILED")
    assert "X-CSRF-Token" in reply.json["detail"]
    assert "WWW-Authenticate" not in reply.headers
    assert code_of(http.open("/api/small/mine", method=method, headers={**cookie, **csrf})) == (200, "user")


def test_only_a_token_made_for_this_session_and_purpose_counts(
    http: FlaskClient, site: Flask, cookie: dict[str, str], csrf: dict[str, str]
) -> None:
    good = csrf["X-CSRF-Token"]
    with site.app_context():
        bad = [
            csrf_token(new_id()),
            secrets.sign("other", SESSION.bytes),
            secrets.sign("csrf", b""),
            secrets.sign("csrf", str(SESSION).encode()),
        ]
    bad += ["", "x", good[:-1], good + "=", f" {good} {good}", good.upper(), str(SESSION), "é" * 50, "x" * 5000]
    for given in bad:
        reply = http.post("/api/small/mine", headers={**cookie, "X-CSRF-Token": given})
        assert code_of(reply) == (403, "CSRF_FAILED"), given
    assert code_of(http.post("/api/small/mine", headers={**cookie, "X-CSRF-Token": good})) == (200, "user")


def test_the_token_is_not_taken_from_anywhere_else(
    http: FlaskClient, cookie: dict[str, str], csrf: dict[str, str]
) -> None:
    token = csrf["X-CSRF-Token"]
    beside = {"Cookie": f"{cookie['Cookie']}; X-CSRF-Token={token}; csrf_token={token}"}
    reply = http.post(f"/api/small/mine?X-CSRF-Token={token}", headers=beside, data={"X-CSRF-Token": token})
    assert code_of(reply) == (403, "CSRF_FAILED")


def test_a_token_outlives_a_rotation_of_the_keys(site: Flask, csrf: dict[str, str]) -> None:
    newer, older = Secret("a newer secret of a test, long enough"), site.extensions["pegboard.settings"].secret_keys[0]
    for keys, expected in (((newer, older), (200, "user")), ((newer,), (403, "CSRF_FAILED"))):
        app = board(secret_keys=keys)
        headers = {"Cookie": f"__Host-pb_access={token(app)}", **csrf}
        assert code_of(app.test_client(use_cookies=False).post("/api/small/mine", headers=headers)) == expected


OURS = [
    {},
    {"Origin": BOARD},
    {"Origin": SHOP},
    {"Origin": SHOP, "Sec-Fetch-Site": "cross-site"},
    {"Origin": SHOP, "Sec-Fetch-Site": "same-site"},
    {"Origin": BOARD, "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://acme.example.com", "Sec-Fetch-Site": "same-origin", "Host": "acme.example.com"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
]
THEIRS = [
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://board.example.com.evil.example.com"},
    {"Origin": "http://board.example.com"},
    {"Origin": "https://board.example.com:8443"},
    {"Origin": f"{BOARD}, {EVIL}"},
    {"Origin": EVIL, "Sec-Fetch-Site": "same-origin"},
    {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://acme.example.com", "Host": "acme.example.com"},
    {"Origin": "http://acme.example.com", "Sec-Fetch-Site": "cross-site", "Host": "acme.example.com"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
]


@pytest.mark.parametrize("headers", OURS)
def test_our_own_pages_may_act(
    http: FlaskClient, cookie: dict[str, str], csrf: dict[str, str], headers: dict[str, str]
) -> None:
    assert code_of(http.post("/api/small/mine", headers={**cookie, **csrf, **headers})) == (200, "user")
    assert http.post("/api/small/keyed", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", THEIRS)
def test_pages_of_another_origin_may_not_even_with_the_token(
    http: FlaskClient, cookie: dict[str, str], csrf: dict[str, str], headers: dict[str, str]
) -> None:
    reply = http.post("/api/small/mine", headers={**cookie, **csrf, **headers})
    assert code_of(reply) == (403, "CSRF_FAILED")
    assert "CLIENT_URL" in reply.json["detail"]
    assert code_of(http.post("/api/small/keyed", headers=headers)) == (403, "CSRF_FAILED")


def test_our_own_address_is_compared_as_browsers_spell_it() -> None:
    app = board(api_url="HTTPS://Board.Example.com:443/below/", client_url=())
    http = app.test_client(use_cookies=False)
    assert http.post("/api/small/keyed", headers={"Origin": BOARD}).status_code == 200
    assert http.post("/api/small/keyed", headers={"Origin": SHOP}).status_code == 403
    assert "Access-Control-Allow-Origin" not in http.get("/api/small/open", headers={"Origin": BOARD}).headers


def test_on_a_public_route_a_forged_request_is_nobodys(
    http: FlaskClient, cookie: dict[str, str], csrf: dict[str, str]
) -> None:
    assert code_of(http.post("/api/small/open", headers=cookie)) == (200, "anonymous")
    for headers in THEIRS:
        assert code_of(http.post("/api/small/open", headers={**cookie, **csrf, **headers})) == (200, "anonymous")
    assert code_of(http.post("/api/small/open", headers={**cookie, **csrf})) == (200, "user")
    assert code_of(http.get("/api/small/open", headers=cookie)) == (200, "user")


def test_a_bearer_needs_no_token_and_comes_from_anywhere(http: FlaskClient, site: Flask) -> None:
    bearer = token_for(site, WHO)
    for headers in ({}, *THEIRS):
        assert code_of(http.post("/api/small/mine", headers={**bearer, **headers})) == (200, "user")


def test_where_both_are_sent_the_header_counts(
    http: FlaskClient, site: Flask, cookie: dict[str, str], csrf: dict[str, str]
) -> None:
    other = UUID("0198c2f1-0000-7000-8000-0000000000dd")
    both = {**cookie, **token_for(site, other)}
    for method in ("GET", "POST"):
        assert http.open("/api/small/mine", method=method, headers=both).json == {"kind": "user", "id": str(other)}
    bad = {**cookie, **csrf, "Authorization": "Bearer nonsense"}
    for method in ("GET", "POST"):
        assert code_of(http.open("/api/small/mine", method=method, headers=bad)) == (401, "TOKEN_INVALID")
        assert code_of(http.open("/api/small/open", method=method, headers=bad)) == (200, "anonymous")
    twice = {**token_for(site, other), "Cookie": "__Host-pb_access=a; __Host-pb_access=b"}
    assert http.get("/api/small/mine", headers=twice).json["id"] == str(other)


def test_forged_requests_are_counted_by_address_and_not_upon_their_victim(
    http: FlaskClient, monkeypatch: pytest.MonkeyPatch, cookie: dict[str, str]
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(Throttle, "before", lambda self, who, verdicts: counted.append(who.kind))
    assert code_of(http.post("/api/small/mine", headers=cookie)) == (403, "CSRF_FAILED")
    assert counted == ["anonymous"]


def test_without_a_session_no_token_fits(site: Flask, csrf: dict[str, str]) -> None:
    with site.test_request_context(method="POST", headers=csrf), pytest.raises(Refused) as caught:
        check_csrf(Principal("user", WHO, DEFAULT.id, None))
    assert caught.value.code is CSRF_FAILED
