"""Problem documents for whatever is raised, entity tags and conditional requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask, Response, abort, redirect
from flask.testing import FlaskClient
from small_board import forget, small_board
from werkzeug.exceptions import RequestedRangeNotSatisfiable, ServiceUnavailable

from core.errors import BUSY, CATALOGUE, TOKEN_EXPIRED, FieldFault, Refused
from core.trust.permissions import public
from core.web.bodies import Body
from core.web.replies import Problem, Reply, etag_of, if_match, problem
from core.web.routes import Routes

VERSION = 7


class Change(Body):
    name: str = ""


@pytest.fixture
def small() -> Iterator[Flask]:
    routes = Routes("plugins.small.views")

    @routes.get("/thing")
    @public
    def thing() -> Reply[dict[str, int]]:
        return Reply({"version": VERSION}, etag=etag_of(VERSION))

    @routes.get("/loose")
    @public
    def loose() -> Reply[dict[str, int]]:
        return Reply({"version": VERSION}, etag=etag_of(VERSION, weak=True))

    @routes.put("/thing")
    @public
    def change(body: Change) -> Reply[dict[str, int]]:
        if_match(VERSION)
        return Reply({"version": VERSION + 1}, etag=etag_of(VERSION + 1))

    @routes.get("/abort/<int:status>")
    @public
    def stop(status: int) -> Response:
        abort(status)

    @routes.get("/range")
    @public
    def span() -> Response:
        raise RequestedRangeNotSatisfiable(length=5)

    @routes.get("/busy")
    @public
    def busy() -> Response:
        raise ServiceUnavailable("come back later", retry_after=9)

    @routes.get("/away")
    @public
    def away() -> Response:
        abort(redirect("/elsewhere", 303))

    app = small_board(routes)

    @app.get("/plain")
    def plain() -> str:
        raise KeyError("a view that is no endpoint")

    yield app
    forget(app)


@pytest.fixture
def http(small: Flask) -> FlaskClient:
    return small.test_client()


# -- problems -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/api/small/nowhere", 404, "NOT_FOUND"),
        ("DELETE", "/api/small/thing", 405, "METHOD_NOT_ALLOWED"),
        ("BREW", "/api/small/thing", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/small/abort/400", 400, "MALFORMED_REQUEST"),
        ("GET", "/api/small/abort/401", 401, "TOKEN_MISSING"),
        ("GET", "/api/small/abort/403", 403, "FORBIDDEN"),
        ("GET", "/api/small/abort/406", 406, "NOT_ACCEPTABLE"),
        ("GET", "/api/small/abort/409", 409, "CONFLICT"),
        ("GET", "/api/small/abort/410", 410, "GONE"),
        ("GET", "/api/small/abort/413", 413, "BODY_TOO_LARGE"),
        ("GET", "/api/small/abort/414", 414, "URI_TOO_LONG"),
        ("GET", "/api/small/abort/415", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("GET", "/api/small/abort/418", 418, "IM_A_TEAPOT"),
        ("GET", "/api/small/abort/422", 422, "VALIDATION_FAILED"),
        ("GET", "/api/small/abort/429", 429, "RATE_LIMITED"),
        ("GET", "/api/small/abort/431", 431, "HEADERS_TOO_LARGE"),
        ("GET", "/api/small/abort/500", 500, "INTERNAL"),
        ("GET", "/api/small/abort/501", 501, "NOT_IMPLEMENTED"),
        ("GET", "/api/small/range", 416, "RANGE_NOT_SATISFIABLE"),
        ("GET", "/api/small/busy", 503, "BUSY"),
        ("GET", "/plain", 500, "INTERNAL"),
    ],
)
def test_whatever_is_raised_is_told_as_a_problem(
    http: FlaskClient, method: str, path: str, status: int, code: str
) -> None:
    reply = http.open(path, method=method)
    assert (reply.status_code, reply.json["status"], reply.json["code"]) == (status, status, code)
    assert reply.mimetype == "application/problem+json"
    assert set(reply.json) == set(Problem.__struct_fields__)
    assert "Werkzeug" not in reply.text
    assert "URL" not in reply.text


def test_headers_that_belong_to_the_status_stay(http: FlaskClient) -> None:
    assert set(http.delete("/api/small/thing").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "PUT"}
    assert http.get("/api/small/range").headers["Content-Range"] == "bytes */5"
    busy = http.get("/api/small/busy")
    assert (busy.headers["Retry-After"], busy.json["detail"]) == ("9", "come back later")
    assert http.get("/api/small/abort/401").headers["WWW-Authenticate"] == "Bearer"


def test_a_redirect_is_no_problem(http: FlaskClient) -> None:
    reply = http.get("/api/small/away")
    assert (reply.status_code, reply.headers["Location"]) == (303, "/elsewhere")


def test_a_problem_names_fields_and_when_to_come_back(small: Flask) -> None:
    with small.test_request_context():
        told: Any = problem(Refused(BUSY, fields=[FieldFault("$.a[1]", "BAD_FORMAT", "no date")], retry_after=3))
        expired = problem(Refused(TOKEN_EXPIRED, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}))
    assert told.json["errors"] == [{"field": "$.a[1]", "code": "BAD_FORMAT", "detail": "no date"}]
    assert (told.json["detail"], told.headers["Retry-After"]) == (BUSY.title, "3")
    assert expired.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_every_code_of_the_catalogue_can_be_told(small: Flask) -> None:
    with small.test_request_context():
        for code in CATALOGUE.values():
            assert problem(Refused(code)).status_code == code.status


# -- entity tags ----------------------------------------------------------------------------------------------------


def test_tags_differ_where_what_they_stand_for_does() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    tags = [etag_of(7), etag_of(8), etag_of("7"), etag_of(b"8"), etag_of(now), etag_of(7, weak=True)]
    assert len(set(tags)) == len(tags)
    assert etag_of(7) == '"7"'
    assert etag_of(7, weak=True) == 'W/"7"'
    assert etag_of(b"x") == etag_of(b"x")


@pytest.mark.parametrize("given", ['"7"', 'W/"7"', '"1", "7"', "*"])
def test_what_the_client_has_already_is_not_sent_again(http: FlaskClient, given: str) -> None:
    for path in ("thing", "loose"):
        reply = http.get(f"/api/small/{path}", headers={"If-None-Match": given})
        assert (reply.status_code, reply.data) == (304, b"")
        assert reply.headers["ETag"].endswith('"7"')
        assert "Content-Type" not in reply.headers
        assert http.head(f"/api/small/{path}", headers={"If-None-Match": given}).status_code == 304


def test_what_has_changed_is_sent(http: FlaskClient) -> None:
    for headers in ({}, {"If-None-Match": '"6"'}, {"If-None-Match": ""}):
        reply = http.get("/api/small/thing", headers=headers)
        assert (reply.status_code, reply.json) == (200, {"version": 7})
        assert reply.headers["Cache-Control"] == "private, no-cache"
        # The same address shows each person and tenant something else: a browser must not mix them up.
        assert {"Authorization", "Cookie", "X-Tenant-ID"} <= set(reply.headers["Vary"].split(", "))


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        (None, 428, "PRECONDITION_REQUIRED"),
        ('"6"', 412, "PRECONDITION_FAILED"),
        ('W/"7"', 412, "PRECONDITION_FAILED"),
        ("", 412, "PRECONDITION_FAILED"),
        ('"7"', 200, None),
        ('"1", "7"', 200, None),
        ("*", 200, None),
    ],
)
def test_a_change_is_made_only_to_the_version_that_was_read(
    http: FlaskClient, given: str | None, status: int, code: str | None
) -> None:
    reply = http.put("/api/small/thing", json={}, headers={} if given is None else {"If-Match": given})
    assert (reply.status_code, reply.json.get("code")) == (status, code)
    if status == 412:
        assert reply.headers["ETag"] == '"7"'


def test_a_reply_to_a_write_is_never_304(http: FlaskClient) -> None:
    reply = http.put("/api/small/thing", json={}, headers={"If-Match": '"7"', "If-None-Match": '"8"'})
    assert reply.status_code == 200
