"""The edge: request ids, addresses behind proxies, hosts, which tenant is meant, the access log."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterable
from http.client import HTTPResponse
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, Response, request
from small_board import Tenants, small_board, token_for

from core import telemetry
from core.contracts import Tenant, TenantDirectory
from core.data.models import new_id
from core.data.tenancy import DEFAULT, PLATFORM, current_tenant
from core.trust import audit
from core.trust.permissions import public, tenantless
from core.web import wire
from core.web.edge import client_ip, hostname, request_id
from core.web.replies import Problem
from core.web.routes import Routes

pytestmark = pytest.mark.unit

ACME = Tenant(UUID("00000000-0000-7000-8000-0000000000ac"), "acme", "Acme")
OTHER = Tenant(UUID("00000000-0000-7000-8000-0000000000cc"), "other", "Other")
GONE = Tenant(UUID("00000000-0000-7000-8000-0000000000dd"), "gone", "Gone", active=False)


class Town(Tenants):
    """A directory with tenants of its own, one of which has a domain."""

    known = (DEFAULT, PLATFORM, ACME, OTHER, GONE)

    def by_domain(self, host: str) -> Tenant | None:
        return ACME if host == "shop.acme.test" else None


def board(**settings: Any) -> Flask:
    routes = Routes(__name__)

    @routes.get("/facts")
    @public
    @tenantless
    def facts() -> dict[str, str]:
        return {"ip": client_ip(), "scheme": request.scheme, "host": request.host, "id": request_id()}

    @routes.get("/tenant")
    @public
    def tenant() -> dict[str, str]:
        return {"slug": current_tenant().slug}

    @routes.get("/stream")
    @public
    @tenantless
    def stream() -> Response:
        return Response((part for part in ("a", "b")), mimetype="text/plain")

    @routes.get("/items/<item>")
    @public
    @tenantless
    def item(item: str) -> None:
        return None

    app = small_board(routes, **settings)
    app.extensions["pegboard.services"].provide(TenantDirectory, "town", Town)
    return app


@pytest.fixture(scope="module")
def plain() -> Flask:
    return board()


def facts(app: Flask, headers: dict[str, str] | None = None, **environ: str) -> dict[str, str]:
    reply = app.test_client().get("/api/small/facts", headers=headers, environ_overrides=environ)
    assert reply.status_code == 200, reply.text
    return reply.get_json()  # type: ignore[no-any-return]


# -- request ids ------------------------------------------------------------------------------------------------


def test_a_clean_request_id_is_kept_and_told(plain: Flask) -> None:
    reply = plain.test_client().get("/api/small/facts", headers={"X-Request-ID": "router-7.abc_1"})
    assert reply.headers["X-Request-ID"] == reply.json["id"] == "router-7.abc_1"


@pytest.mark.parametrize("bad", ["", "a b", 'x"}\n', "x" * 200, "ü-request", "<script>"])
def test_an_unclean_request_id_is_replaced(plain: Flask, bad: str) -> None:
    reply = plain.test_client().get("/api/small/facts", environ_overrides={"HTTP_X_REQUEST_ID": bad})
    assert reply.headers["X-Request-ID"] == reply.json["id"] != bad
    assert len(reply.headers["X-Request-ID"]) == 32


def test_a_problem_carries_the_request_id(plain: Flask) -> None:
    reply = plain.test_client().get("/nowhere", headers={"X-Request-ID": "router-7"})
    assert (reply.status_code, reply.json["request_id"], reply.headers["X-Request-ID"]) == (404, "router-7", "router-7")


# -- addresses --------------------------------------------------------------------------------------------------

SPOOFED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.test"}


def test_without_proxies_nothing_that_is_forwarded_is_believed(plain: Flask) -> None:
    found = facts(plain, SPOOFED, REMOTE_ADDR="10.0.0.9")
    assert (found["ip"], found["scheme"], found["host"]) == ("10.0.0.9", "http", "localhost")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (1, "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        (1, "203.0.113.7", "203.0.113.7"),
        (2, "6.6.6.6, 203.0.113.7, 198.51.100.1", "203.0.113.7"),
        (2, "203.0.113.7", "10.0.0.9"),  # fewer than there are proxies: someone went round the first
        (1, "203.0.113.7:49152", "203.0.113.7"),
        (1, "[2001:DB8::1]:49152", "2001:db8::1"),
        (1, "::ffff:203.0.113.7", "203.0.113.7"),
        (1, "unknown", "10.0.0.9"),
        (1, "<script>", "10.0.0.9"),
    ],
)
def test_forwarded_addresses_are_counted_from_the_right(proxies: int, forwarded: str, expected: str) -> None:
    app = board(trusted_proxies=proxies)
    assert facts(app, {"X-Forwarded-For": forwarded}, REMOTE_ADDR="10.0.0.9")["ip"] == expected


def test_behind_a_proxy_the_scheme_is_believed_and_the_host_is_not() -> None:
    found = facts(board(trusted_proxies=1), SPOOFED)
    assert (found["scheme"], found["host"]) == ("https", "localhost")
    assert facts(board(trusted_proxies=1), {"X-Forwarded-Proto": "javascript"})["scheme"] == "http"


def test_over_a_unix_socket_there_is_no_address(plain: Flask) -> None:
    assert facts(plain, REMOTE_ADDR="")["ip"] == ""


# -- hosts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["", "..", ":80", "a b", "a/b", "exa_mple:port", "x" * 3 + "\x00", "[::1", "a,b", "a@b"]
)
def test_an_odd_host_is_refused(plain: Flask, host: str) -> None:
    reply = plain.test_client().get("/api/small/facts", environ_overrides={"HTTP_HOST": host})
    assert (reply.status_code, reply.json["code"]) == (400, "MISSING_HOST")
    assert reply.mimetype == "application/problem+json"


def test_a_missing_host_is_refused(plain: Flask) -> None:
    with plain.test_request_context("/api/small/facts") as context:
        environ = {name: value for name, value in context.request.environ.items() if name != "HTTP_HOST"}
    seen: list[str] = []
    body = b"".join(plain.wsgi_app(environ, lambda status, headers: seen.append(status)))  # type: ignore[arg-type,return-value]
    assert seen == ["400 BAD REQUEST"]
    assert b"MISSING_HOST" in body


@pytest.mark.parametrize(
    ("host", "expected"),
    [("Example.COM:8000", "example.com"), ("example.com.", "example.com"), ("[::1]:80", "::1"), ("[::1]", "::1")],
)
def test_hostname(host: str, expected: str) -> None:
    assert hostname(host) == expected


# -- tenants ----------------------------------------------------------------------------------------------------


def tenant(app: Flask, host: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    reply = app.test_client().get("/api/small/tenant", headers={"Host": host, **(headers or {})})
    return reply.status_code, reply.json.get("slug") or reply.json["code"]


@pytest.mark.parametrize(
    ("host", "headers", "expected"),
    [
        ("board.test", {}, (200, "default")),
        ("127.0.0.1:8000", {}, (200, "default")),
        ("[::1]:8000", {}, (200, "default")),
        ("elsewhere.test", {}, (200, "default")),
        ("www.board.test", {}, (200, "default")),
        ("api.board.test", {}, (200, "default")),  # API_URL's own host is no tenant
        ("acme.board.test:8000", {}, (200, "acme")),
        ("ACME.Board.Test.", {}, (200, "acme")),
        ("shop.acme.test", {}, (200, "acme")),
        ("nobody.board.test", {}, (404, "UNKNOWN_TENANT")),
        ("a.acme.board.test", {}, (404, "UNKNOWN_TENANT")),
        ("gone.board.test", {}, (404, "UNKNOWN_TENANT")),
        ("evilboard.test", {}, (200, "default")),
        ("board.test", {"X-Tenant-ID": "acme"}, (200, "acme")),
        ("board.test", {"X-Tenant-ID": str(ACME.id)}, (200, "acme")),
        ("board.test", {"X-Tenant-ID": "nobody"}, (404, "UNKNOWN_TENANT")),
        ("acme.board.test", {"X-Tenant-ID": "acme"}, (200, "acme")),
        ("acme.board.test", {"X-Tenant-ID": "other"}, (403, "TENANT_MISMATCH")),
        ("shop.acme.test", {"X-Tenant-ID": "default"}, (403, "TENANT_MISMATCH")),
    ],
)
def test_host_and_header_name_the_tenant(host: str, headers: dict[str, str], expected: tuple[int, str]) -> None:
    app = board(base_domain="board.test", api_url="https://api.board.test")
    assert tenant(app, host, headers) == expected


def test_without_a_base_domain_subdomains_mean_nothing(plain: Flask) -> None:
    assert tenant(plain, "acme.board.test") == (200, "default")


def test_the_credential_fills_a_gap_or_is_compared() -> None:
    app = board(base_domain="board.test")
    headers = token_for(app, new_id(), ACME)
    assert tenant(app, "board.test", headers) == (200, "acme")
    assert tenant(app, "acme.board.test", headers) == (200, "acme")
    assert tenant(app, "other.board.test", headers) == (403, "TENANT_MISMATCH")
    assert tenant(app, "board.test", {**headers, "X-Tenant-ID": "other"}) == (403, "TENANT_MISMATCH")


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str | None]]:
    """Where the audit log would write, without a database."""
    from contextlib import nullcontext

    from core.web import edge

    found: list[tuple[str, str, str | None]] = []
    monkeypatch.setattr(edge, "unit", nullcontext)
    monkeypatch.setattr(
        audit, "record", lambda action, **said: found.append((current_tenant().slug, action, said["reason"]))
    )
    return found


def test_staff_may_act_inside_a_tenant_with_a_reason_and_it_is_audited_in_both(audited: list[Any]) -> None:
    app = board(base_domain="board.test")
    app.extensions["grants"].roles = ("super_admin",)
    staff = token_for(app, new_id(), PLATFORM)
    inside = {**staff, "X-Tenant-ID": "acme"}
    assert tenant(app, "board.test", inside) == (403, "TENANT_MISMATCH")
    assert tenant(app, "board.test", {**inside, "X-Acting-Reason": "  "}) == (403, "TENANT_MISMATCH")
    assert tenant(app, "board.test", {**inside, "X-Acting-Reason": "x" * 501}) == (400, "MALFORMED_REQUEST")
    assert audited == []
    assert tenant(app, "board.test", {**inside, "X-Acting-Reason": "ticket 4711"}) == (200, "acme")
    assert audited == [
        ("acme", "tenants.acted_inside", "ticket 4711"),
        ("platform", "tenants.acted_inside", "ticket 4711"),
    ]


def test_staff_need_the_header_and_may_not_contradict_the_host(audited: list[Any]) -> None:
    app = board(base_domain="board.test")
    app.extensions["grants"].roles = ("super_admin",)
    staff = {**token_for(app, new_id(), PLATFORM), "X-Acting-Reason": "ticket 4711"}
    assert tenant(app, "board.test", staff) == (200, "platform")
    assert tenant(app, "acme.board.test", staff) == (403, "TENANT_MISMATCH")
    assert tenant(app, "other.board.test", {**staff, "X-Tenant-ID": "acme"}) == (403, "TENANT_MISMATCH")
    assert tenant(app, "platform.board.test", {**staff, "X-Tenant-ID": "platform"}) == (200, "platform")
    assert audited == []
    assert tenant(app, "platform.board.test", {**staff, "X-Tenant-ID": "acme"}) == (200, "acme")
    assert len(audited) == 2


def test_a_reason_gives_nobody_else_a_way_in(audited: list[Any]) -> None:
    app = board(base_domain="board.test")
    headers = {**token_for(app, new_id(), OTHER), "X-Tenant-ID": "acme", "X-Acting-Reason": "curiosity"}
    assert tenant(app, "board.test", headers) == (403, "TENANT_MISMATCH")
    assert audited == []


# -- the access log and figures -----------------------------------------------------------------------------------


def access_lines(caplog: pytest.LogCaptureFixture) -> Iterable[dict[str, Any]]:
    return [telemetry.logs.entry(record) for record in caplog.records if record.name == "pegboard.access"]


def test_each_request_is_logged_with_its_template_and_without_its_query(
    plain: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "pegboard.access"):
        plain.test_client().get("/api/small/items/7?token=secret")
    (record,) = [record for record in caplog.records if record.name == "pegboard.access"]
    found = vars(record)
    assert (found["method"], found["path"], found["status"]) == ("GET", "/api/small/items/7", 204)
    assert found["route"] == "/api/small/items/<item>"
    assert found["ip"] == "127.0.0.1"
    assert found["ms"] >= 0
    assert "secret" not in str(found)


def test_the_log_names_request_tenant_user_and_plugin(plain: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(telemetry.logs.entry(record))

    access = logging.getLogger("pegboard.access")
    access.addHandler(catch := Catch())
    access.setLevel(logging.INFO)
    user = new_id()
    try:
        client = plain.test_client()
        client.get("/api/small/tenant", headers={**token_for(plain, user, ACME), "X-Request-ID": "router-1"})
        client.get("/api/small/stream", headers={"X-Request-ID": "router-2"}, buffered=True)
        client.get("/livez")
    finally:
        access.removeHandler(catch)
        access.setLevel(logging.NOTSET)
    assert {name: seen[0][name] for name in ("request_id", "tenant", "user", "plugin")} == {
        "request_id": "router-1",
        "tenant": str(ACME.id),
        "user": str(user),
        "plugin": "small",
    }
    assert seen[1]["request_id"] == "router-2"
    assert "user" not in seen[1]
    assert len(seen) == 2, "health checks are too many to log"
    assert telemetry.request_id() is None


def test_requests_are_counted_by_template(plain: Flask) -> None:
    client = plain.test_client()
    for number in range(3):
        client.get(f"/api/small/items/counted-{number}")
    client.open("/api/small/items/1", method="BREW")
    text = telemetry.exposition()[0].decode()
    assert "counted-" not in text
    assert 'http_requests_total{method="GET",route="/api/small/items/<item>",status="204"}' in text
    assert 'http_requests_total{method="OTHER",route="-",status="405"}' in text
    assert 'http_request_seconds_count{route="/api/small/items/<item>"}' in text


# -- what gunicorn says by itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "Bad Request", (400, "MALFORMED_REQUEST")),
        (414, "URI Too Long", (414, "URI_TOO_LONG")),
        (431, "Request Header Fields Too Large", (431, "HEADERS_TOO_LARGE")),
        (417, "Expectation Failed", (400, "MALFORMED_REQUEST")),
        (500, "Internal Server Error", (500, "INTERNAL")),
        (501, "Not Implemented", (501, "NOT_IMPLEMENTED")),
    ],
)
def test_gunicorn_refuses_in_our_words(status: int, reason: str, expected: tuple[int, str]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.write_problem(ours, status, reason, "Invalid HTTP Header: 'X-<script>'")
        ours.close()
        reply = HTTPResponse(theirs)
        reply.begin()
        said = json.loads(reply.read())
    assert (reply.status, said["code"]) == expected
    assert said["status"] == reply.status
    assert list(said) == list(Problem.__struct_fields__)
    assert said["request_id"] == reply.headers["X-Request-ID"]
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert "script" not in str(said)


def test_gunicorn_is_where_we_reach_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both names are gunicorn's own affair: a new release may move them."""
    from gunicorn import util
    from gunicorn.http import wsgi
    from gunicorn.workers import base

    assert base.util is util
    monkeypatch.setattr(wsgi, "SERVER", wsgi.SERVER)
    monkeypatch.setattr(util, "write_error", util.write_error)
    wire.adopt()
    reply = wsgi.Response(SimpleNamespace(method="GET", version=(1, 1)), None, None)
    assert reply.version == "pegboard"
    assert util.write_error is wire.write_problem
