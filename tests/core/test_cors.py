"""Which origins may read replies, and what browsers are told besides."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response
from small_board import small_board

from core.trust.permissions import public, signed_in, tenantless
from core.web.headers import origin_allowed
from core.web.routes import Routes

pytestmark = pytest.mark.unit

SHOP = "https://shop.example.com"


def board(**settings: Any) -> Flask:
    routes = Routes(__name__)

    @routes.get("/open")
    @public
    @tenantless
    def open_() -> Response:
        return Response("{}", content_type="application/json", headers={"ETag": '"1"'})

    @routes.get("/page")
    @public
    @tenantless
    def page() -> Response:
        return Response("<p>hello</p>", mimetype="text/html")

    @routes.get("/own")
    @public
    @tenantless
    def own() -> Response:
        own = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "public, max-age=60"}
        return Response("x", headers={**own, "Cross-Origin-Resource-Policy": "cross-origin"})

    @routes.post("/closed")
    @signed_in
    def closed() -> None:
        return None

    return small_board(routes, **settings)


@pytest.fixture(scope="module")
def cors() -> Flask:
    return board(client_url=(SHOP, "http://localhost:5173/", "https://ADMIN.example.com:443"))


def get(app: Flask, path: str = "/api/small/open", **headers: str) -> Any:
    return app.test_client().get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("origin", [SHOP, "http://localhost:5173", "https://admin.example.com"])
def test_each_origin_of_client_url_may_read_with_credentials(cors: Flask, origin: str) -> None:
    reply = get(cors, Origin=origin)
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in reply.vary
    exposed = reply.headers["Access-Control-Expose-Headers"].split(", ")
    for name in ("ETag", "Location", "Link", "RateLimit-Limit", "Upload-Offset", "Retry-After", "X-Request-ID"):
        assert name in exposed


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "https://shop.example.com.evil.test",
        "http://shop.example.com",
        "https://shop.example.com:8443",
        "https://shop.example.com/",
        "null",
        "*",
        "",
    ],
)
def test_any_other_origin_gets_no_permission(cors: Flask, origin: str) -> None:
    reply = get(cors, Origin=origin)
    assert reply.status_code == 200
    assert not [name for name, _ in reply.headers if name.startswith("Access-Control-")]
    assert "Origin" in reply.vary
    with cors.app_context():
        assert not origin_allowed(origin)
        assert not origin_allowed(None)


def test_without_an_origin_the_reply_still_varies_by_it(cors: Flask) -> None:
    reply = get(cors)
    assert "Origin" in reply.vary
    assert "Access-Control-Allow-Origin" not in reply.headers


def test_without_client_url_there_is_no_cors() -> None:
    reply = get(board(), Origin=SHOP)
    assert "Access-Control-Allow-Origin" not in reply.headers
    assert "Origin" not in reply.vary


def test_an_error_may_be_read_too(cors: Flask) -> None:
    reply = get(cors, "/api/small/nowhere", Origin=SHOP)
    assert (reply.status_code, reply.headers["Access-Control-Allow-Origin"]) == (404, SHOP)


def preflight(app: Flask, origin: str, path: str = "/api/small/closed") -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return app.test_client().options(path, headers=headers)


def test_a_preflight_is_answered_without_signing_in(cors: Flask) -> None:
    reply = preflight(cors, SHOP)
    assert (reply.status_code, reply.data) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == SHOP
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert "PATCH" in reply.headers["Access-Control-Allow-Methods"]
    allowed = reply.headers["Access-Control-Allow-Headers"].lower().split(", ")
    for name in ("authorization", "content-type", "if-match", "idempotency-key", "x-tenant-id", "upload-offset"):
        assert name in allowed
    assert {"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"} <= set(reply.vary)
    assert "*" not in "".join(value for name, value in reply.headers if name.startswith("Access-Control"))


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null"])
def test_a_preflight_of_another_origin_gets_no_permission(cors: Flask, origin: str) -> None:
    reply = preflight(cors, origin)
    assert reply.status_code == 204
    assert not [name for name, _ in reply.headers if name.startswith("Access-Control-")]


def test_a_preflight_names_no_tenant_and_meets_no_fault_of_one(cors: Flask) -> None:
    headers = {"Origin": SHOP, "Access-Control-Request-Method": "GET", "X-Tenant-ID": "nobody"}
    assert cors.test_client().options("/api/small/open", headers=headers).status_code == 204


# -- security headers -------------------------------------------------------------------------------------------


def test_every_reply_has_the_security_headers(cors: Flask) -> None:
    for path in ("/api/small/open", "/api/small/nowhere"):
        headers = get(cors, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert headers["Cache-Control"] in ("no-store", "private, no-cache")
        assert "Server" not in headers
        assert "X-Powered-By" not in headers


def test_a_page_may_load_what_is_ours_and_nothing_inline(cors: Flask) -> None:
    policy = get(cors, "/api/small/page").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_a_route_may_know_better(cors: Flask) -> None:
    headers = get(cors, "/api/small/own").headers
    assert headers["Content-Security-Policy"] == "default-src 'self'"
    assert headers["Cache-Control"] == "public, max-age=60"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"


@pytest.mark.parametrize(
    ("app_env", "scheme", "expected"),
    [("production", "https", True), ("production", "http", False), ("development", "https", False)],
)
def test_transport_security_is_asked_for_in_production_over_https(app_env: str, scheme: str, expected: bool) -> None:
    app = board(app_env=app_env, trusted_proxies=1)
    headers = get(app, X_Forwarded_Proto=scheme, X_Forwarded_For="203.0.113.7").headers
    assert ("Strict-Transport-Security" in headers) is expected
