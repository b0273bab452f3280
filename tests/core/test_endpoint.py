"""A request's journey: who, tenant, limits, may they, parsing, unit, reply; and what a route says of itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from flask import Flask, Response
from flask.testing import FlaskClient
from small_board import forget, small_board, token_for

from core.contracts import ResourceType
from core.data.models import db, new_id
from core.data.tenancy import PLATFORM, current_tenant, tenant_or_none
from core.data.unit import in_steps, unit, unit_or_none
from core.errors import CONFLICT, NOT_FOUND, BootError, Refused
from core.trust.identity import current_principal
from core.trust.permissions import public, requires, resource_type, signed_in, tenantless
from core.web.bodies import Body
from core.web.endpoint import Endpoint
from core.web.replies import Accepted, Created, Page, Reply, etag_of
from core.web.routes import Routes, endpoints
from core.web.throttling import limited

WHO = UUID("0198c2f1-0000-7000-8000-0000000000aa")
THING = UUID("0198c2f1-0000-7000-8000-0000000000bb")

resource_type(ResourceType("thing", "things", model=object))


class NewThing(Body):
    name: str
    count: int = 1


class Thing(msgspec.Struct):
    id: UUID
    name: str


class Filter(Body):
    name: str = ""


class Seen(msgspec.Struct):
    who: str
    tenant: str | None
    in_unit: bool


def seen() -> Seen:
    tenant = tenant_or_none()
    return Seen(current_principal().kind, tenant.slug if tenant else None, unit_or_none() is not None)


def make_routes() -> Routes:
    """Routes with one view for each thing to test; made anew, because a blueprint belongs to one app."""
    routes = Routes("plugins.small.views")

    @routes.get("/open")
    @public
    def open_to_all() -> Seen:
        """Anyone may look.

        And it says
        what it saw.
        """
        return seen()

    @routes.get("/mine")
    @signed_in
    def mine() -> Seen:
        return seen()

    @routes.get("/steps")
    @public
    @in_steps
    def steps() -> Seen:
        return seen()

    @routes.get("/nobodys")
    @tenantless
    @public
    def nobodys() -> Seen:
        return seen()

    @routes.get("/things")
    @requires("things:read")
    def things(query: Filter) -> Page[Thing]:
        return Page([Thing(THING, query.name)])

    @routes.put("/things/<thing_id>/<int:number>")
    @requires("things:write", id="thing_id")
    def change(thing_id: UUID, number: int, body: NewThing) -> Thing:
        return Thing(thing_id, f"{body.name}{number}")

    @routes.post("/things")
    @public
    def add(body: NewThing) -> Created[Thing]:
        return Created(Thing(THING, body.name), location="/api/small/things/1", etag=etag_of(1))

    @routes.delete("/things/<thing_id>")
    @public
    def remove(thing_id: UUID) -> None:
        return None

    @routes.post("/jobs")
    @public
    def job() -> Accepted[Seen]:
        return Accepted(seen(), location="/api/small/jobs/1")

    @routes.get("/tagged")
    @public
    def tagged() -> Reply[Seen]:
        return Reply(seen(), etag='"7"', headers={"X-Extra": "yes"})

    @routes.get("/raw")
    @public
    def raw() -> Response:
        return Response(b"\x00\x01", mimetype="application/octet-stream")

    @routes.get("/refuses")
    @public
    def refuses() -> Thing:
        raise Refused(CONFLICT, "there is one already")

    @routes.get("/breaks")
    @signed_in
    def breaks() -> Thing:
        raise RuntimeError("hunter2 is the secret")

    @routes.get("/unencodable")
    @public
    def unencodable() -> Thing:
        return object()  # type: ignore[return-value]

    @routes.get("/other")
    @public
    def other() -> Created[Thing]:
        return Thing(THING, "not what was promised")  # type: ignore[return-value]

    @routes.get("/nothing")
    @public
    def nothing() -> Thing:
        return None  # type: ignore[return-value]

    @routes.get("/database")
    @public
    def database() -> None:
        db.session.execute(sa.text("select 1"))

    return routes


@pytest.fixture
def small() -> Iterator[Flask]:
    app = small_board(make_routes())
    yield app
    forget(app)


@pytest.fixture
def http(small: Flask) -> FlaskClient:
    return small.test_client()


@pytest.fixture
def me(small: Flask) -> dict[str, str]:
    return token_for(small, WHO)


# -- who, which tenant, may they ----------------------------------------------------------------------------------


def test_a_view_runs_as_somebody_in_a_tenant_in_one_unit(http: FlaskClient, me: dict[str, str]) -> None:
    assert http.get("/api/small/open").json == {"who": "anonymous", "tenant": "default", "in_unit": True}
    assert http.get("/api/small/open", headers=me).json == {"who": "user", "tenant": "default", "in_unit": True}
    assert http.get("/api/small/mine", headers=me).json == {"who": "user", "tenant": "default", "in_unit": True}
    assert http.get("/api/small/steps").json == {"who": "anonymous", "tenant": "default", "in_unit": False}
    assert http.get("/api/small/nobodys").json == {"who": "anonymous", "tenant": None, "in_unit": True}
    assert tenant_or_none() is None
    assert current_principal().kind == "anonymous"


def test_a_stranger_is_asked_to_sign_in(http: FlaskClient) -> None:
    reply = http.get("/api/small/mine")
    assert (reply.status_code, reply.json["code"]) == (401, "TOKEN_MISSING")
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    # The stranger is turned away before the body is read, so nothing is told of what would be wrong with it.
    reply = http.put(f"/api/small/things/{THING}/1", data=b"[")
    assert reply.json["code"] == "TOKEN_MISSING"


@pytest.mark.parametrize("credential", ["Bearer nonsense", "Bearer a.b.c", "Basic YTpi", "Bearer", "x" * 5000])
def test_a_bad_credential_is_refused_unless_the_route_is_public(http: FlaskClient, credential: str) -> None:
    headers = {"Authorization": credential}
    reply = http.get("/api/small/mine", headers=headers)
    assert (reply.status_code, reply.json["code"]) == (401, "TOKEN_INVALID")
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
    assert http.get("/api/small/open", headers=headers).json["who"] == "anonymous"


def test_permissions_are_asked_of_the_authorizer(small: Flask, http: FlaskClient, me: dict[str, str]) -> None:
    grants = small.extensions["grants"]
    reply = http.get("/api/small/things", headers=me)
    assert (reply.status_code, reply.json["code"]) == (403, "FORBIDDEN")
    assert "things:read" in reply.json["detail"]
    grants.allowed = {"things:read", "things:write"}
    assert http.get("/api/small/things?name=x", headers=me).json == {
        "items": [{"id": str(THING), "name": "x"}],
        "next": None,
    }
    reply = http.put(f"/api/small/things/{THING}/7", json={"name": "x"}, headers=me)
    assert reply.json == {"id": str(THING), "name": "x7"}
    assert grants.asked == [("things:read", None, None)] * 2 + [("things:write", "thing", THING)]


def test_permission_comes_before_validation(small: Flask, http: FlaskClient, me: dict[str, str]) -> None:
    url = f"/api/small/things/{THING}/7"
    assert http.put(url, json={"nonsense": 1}, headers=me).status_code == 403
    small.extensions["grants"].allowed = {"things:write"}
    assert http.put(url, json={"nonsense": 1}, headers=me).status_code == 422


def test_tenants_that_disagree_are_refused(small: Flask, http: FlaskClient, me: dict[str, str]) -> None:
    reply = http.get("/api/small/mine", headers={**me, "X-Tenant-ID": str(PLATFORM.id)})
    assert (reply.status_code, reply.json["code"]) == (403, "TENANT_MISMATCH")
    reply = http.get("/api/small/open", headers={"X-Tenant-ID": "nobody"})
    assert (reply.status_code, reply.json["code"]) == (404, "UNKNOWN_TENANT")
    assert http.get("/api/small/nobodys", headers={"X-Tenant-ID": "nobody"}).status_code == 200


# -- replies ------------------------------------------------------------------------------------------------------


def test_each_kind_of_reply(http: FlaskClient) -> None:
    reply = http.post("/api/small/things", json={"name": "x"})
    assert (reply.status_code, reply.json) == (201, {"id": str(THING), "name": "x"})
    assert (reply.headers["Location"], reply.headers["ETag"]) == ("/api/small/things/1", '"1"')
    assert reply.headers["Content-Type"] == "application/json"
    reply = http.post("/api/small/jobs")
    assert (reply.status_code, reply.headers["Location"]) == (202, "/api/small/jobs/1")
    reply = http.delete(f"/api/small/things/{THING}")
    assert (reply.status_code, reply.data) == (204, b"")
    assert "Content-Type" not in reply.headers
    reply = http.get("/api/small/raw")
    assert (reply.status_code, reply.data, reply.mimetype) == (200, b"\x00\x01", "application/octet-stream")
    assert http.get("/api/small/tagged").headers["X-Extra"] == "yes"


def test_head_and_options(http: FlaskClient) -> None:
    reply = http.head("/api/small/open")
    assert (reply.status_code, reply.data) == (200, b"")
    assert int(reply.headers["Content-Length"]) == len(http.get("/api/small/open").data)
    reply = http.head("/api/small/mine")
    assert (reply.status_code, reply.data) == (401, b"")
    reply = http.options("/api/small/things")
    assert reply.status_code == 200
    assert set(reply.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_refusal_becomes_a_problem(http: FlaskClient) -> None:
    reply = http.get("/api/small/refuses", headers={"X-Request-ID": "request-1234"})
    assert reply.status_code == 409
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json == {
        "type": "urn:pegboard:error:CONFLICT",
        "title": CONFLICT.title,
        "status": 409,
        "code": "CONFLICT",
        "detail": "there is one already",
        "errors": [],
        "request_id": "request-1234",
    }


def test_what_nobody_foresaw_is_logged_and_not_told(
    http: FlaskClient, me: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        reply = http.get("/api/small/breaks", headers=me)
    assert (reply.status_code, reply.json["code"]) == (500, "INTERNAL")
    assert "hunter2" not in reply.text
    assert "Traceback" not in reply.text
    assert reply.json["request_id"] == reply.headers["X-Request-ID"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert "hunter2" in str(record.exc_info[1])


@pytest.mark.parametrize("path", ["unencodable", "other", "nothing"])
def test_a_reply_that_its_signature_does_not_promise_is_our_fault(http: FlaskClient, path: str) -> None:
    assert http.get(f"/api/small/{path}").status_code == 500


def test_a_store_that_is_away_is_503_and_the_rest_serves(http: FlaskClient) -> None:
    reply = http.get("/api/small/database")
    assert (reply.status_code, reply.json["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert int(reply.headers["Retry-After"]) > 0
    assert http.get("/api/small/open").status_code == 200


# -- what comes in --------------------------------------------------------------------------------------------------


def test_paths_bodies_and_queries_that_are_wrong(small: Flask, http: FlaskClient, me: dict[str, str]) -> None:
    small.extensions["grants"].allowed = {"things:read", "things:write"}
    assert http.delete("/api/small/things/7").json["code"] == "NOT_FOUND"
    assert http.put(f"/api/small/things/{THING}/x", json={}, headers=me).json["code"] == "NOT_FOUND"
    reply = http.post("/api/small/things", json={"name": 5})
    assert (reply.status_code, reply.json["code"]) == (422, "VALIDATION_FAILED")
    assert reply.json["errors"] == [{"field": "$.name", "code": "WRONG_TYPE", "detail": "expected str, got int"}]
    assert http.post("/api/small/things", data="{", content_type="application/json").status_code == 400
    assert http.post("/api/small/things", data=b"").json["code"] == "MALFORMED_BODY"
    assert http.post("/api/small/things", data={"name": "x"}).json["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert http.post("/api/small/things", json={"name": "x" * 2**20}).json["code"] == "BODY_TOO_LARGE"
    reply = http.get("/api/small/things?nonsense=1", headers=me)
    assert (reply.status_code, reply.json["errors"][0]["field"]) == (422, "nonsense")
    assert http.get("/api/small/things?name=%zz", headers=me).json["code"] == "MALFORMED_REQUEST"


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_route_may_be_limited_by_address_account_or_argument() -> None:
    routes = Routes("plugins.small.views")

    @routes.post("/guess")
    @public
    @limited("2/hour", by=lambda body: body.name)
    @limited("4/hour", by="ip")
    def guess(body: NewThing) -> None:
        return None

    app = small_board(routes, rate_limit="100/minute")
    http = app.test_client()

    def post(name: str, address: str = "192.0.2.1") -> Any:
        return http.post("/api/small/guess", json={"name": name}, environ_base={"REMOTE_ADDR": address})

    first = post("alice")
    assert first.status_code == 204
    assert '"board";q=100;w=60' in first.headers["RateLimit-Policy"]
    assert '"route";r=3' in first.headers["RateLimit"]
    assert [post("alice").status_code for _ in range(2)] == [204, 429]
    refused = post("alice", "192.0.2.2")
    assert (refused.status_code, refused.json["code"]) == (429, "RATE_LIMITED")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert [post("bob").status_code for _ in range(2)] == [204, 429]
    assert post("bob", "192.0.2.2").status_code == 204
    # Of IPv6 a household has a /64, and all of it counts as one.
    assert [post(f"a{n}", f"2001:db8::{n}").status_code for n in range(5)] == [204] * 4 + [429]
    assert post("b", "2001:db8:0:1::1").status_code == 204


def test_the_board_limits_every_caller_and_counts_bad_credentials() -> None:
    app = small_board(make_routes(), rate_limit="3/hour")
    http = app.test_client()
    for _ in range(3):
        assert http.get("/api/small/mine", headers={"Authorization": "Bearer guess"}).status_code == 401
    reply = http.get("/api/small/mine", headers={"Authorization": "Bearer guess"})
    assert reply.status_code == 429
    # Who is really signed in is counted apart from the address they share.
    assert http.get("/api/small/mine", headers=token_for(app, WHO)).status_code == 200
    # Guesses count against their address, whatever it asks for next; other addresses have their own.
    assert http.get("/api/small/open").status_code == 429
    elsewhere = {"REMOTE_ADDR": "203.0.113.7"}
    for _ in range(3):
        assert http.get("/api/small/open", environ_overrides=elsewhere).status_code == 200
    assert http.get("/api/small/open", environ_overrides=elsewhere).status_code == 429


def test_an_address_has_its_limit_once_however_many_tenants_it_names() -> None:
    http = small_board(make_routes(), rate_limit="3/hour").test_client()
    tenants = ["default", "platform", "default", "platform"]
    answers = [http.get("/api/small/open", headers={"X-Tenant-ID": slug}).status_code for slug in tenants]
    assert answers == [200, 200, 200, 429]
    assert http.get("/api/small/open", headers={"X-Tenant-ID": "nowhere"}).status_code == 429


def test_a_rate_that_cannot_be_read_stops_the_boot() -> None:
    with pytest.raises(BootError, match="RATE_LIMIT 'often'"):
        small_board(make_routes(), rate_limit="often")
    with pytest.raises(BootError, match="limited"):
        limited("often")
    with pytest.raises(BootError, match=r"by='cow'\): counts by nothing known; use 'ip', 'account' or a function"):
        limited("5/minute", by="cow")  # type: ignore[arg-type]


# -- what a route says of itself ------------------------------------------------------------------------------------


def test_an_endpoint_describes_itself(small: Flask) -> None:
    found = {endpoint.__name__: endpoint for endpoint in endpoints(small)}
    change = found["change"]
    assert change.name.endswith("change")
    assert (change.rule, change.methods, change.plugin) == ("/things/<thing_id>/<int:number>", ("PUT",), "small")
    signature = change.signature
    assert signature.path == {"thing_id": UUID, "number": int}
    assert (signature.body, signature.query, signature.reply, signature.status) == (NewThing, None, Thing, 200)
    assert (change.marks.permission, change.keyed, change.in_steps) == ("things:write", False, False)
    assert found["things"].signature.reply == Page[Thing]
    assert (found["add"].signature.status, found["add"].signature.reply, found["add"].keyed) == (201, Thing, True)
    assert found["job"].signature.status == 202
    assert (found["remove"].signature.status, found["remove"].signature.reply) == (204, None)
    assert found["raw"].signature.raw
    assert found["open_to_all"].summary == "Anyone may look."
    assert found["open_to_all"].description == "And it says\nwhat it saw."
    assert found["mine"].summary == "Mine"


def test_marks_may_stand_in_any_order_and_the_view_stays_a_function() -> None:
    routes = Routes("plugins.small.views")

    @public
    @limited("5/minute")
    @routes.get("/a")
    @routes.get("/b")
    @in_steps
    def both() -> Seen:
        return seen()

    assert both() == Seen("anonymous", None, False)
    http = small_board(routes).test_client()
    assert http.get("/api/small/a").status_code == http.get("/api/small/b").status_code == 200


def fault_of(view: Any, rule: str = "/x", method: str = "GET") -> str:
    (fault,) = Endpoint(view, rule, (method,)).faults()
    assert fault.startswith(f"{view.__module__}:{view.__qualname__}: ")
    return fault


def test_a_route_that_cannot_be_served_says_why_and_what_to_do() -> None:
    def unmarked() -> None: ...

    assert "add @public, @signed_in or @requires" in fault_of(unmarked)

    @public
    def no_reply():  # type: ignore[no-untyped-def]
        ...

    assert "no return annotation" in fault_of(no_reply)

    @public
    def untyped(thing) -> None:  # type: ignore[no-untyped-def]
        ...

    assert "'thing' has no annotation" in fault_of(untyped, "/<thing>")

    @public
    def not_in_rule(thing: UUID) -> None: ...

    assert "add <thing>" in fault_of(not_in_rule)

    @public
    def not_in_view() -> None: ...

    assert "add thing" in fault_of(not_in_view, "/<uuid:thing>")

    @public
    def loose_body(body: Thing) -> None: ...

    assert "subclass of core.web.Body" in fault_of(loose_body, method="POST")

    @public
    def list_query(query: list[int]) -> None: ...

    assert "subclass of core.web.Body" in fault_of(list_query)

    @public
    def body_on_get(body: NewThing) -> None: ...

    assert "on GET" in fault_of(body_on_get)

    @public
    def strange_body(body: list[int] | set[int]) -> None: ...

    assert "cannot be parsed" in fault_of(strange_body, method="POST")

    @public
    def bare_created() -> Created: ...  # type: ignore[type-arg]

    assert "write Created[" in fault_of(bare_created)

    @public
    def unresolved() -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821

    assert "'Nowhere' is not defined" in fault_of(unresolved)

    @requires("things:write", id="thing_id")
    def no_id(thing_id: str) -> None: ...

    assert "add thing_id: UUID" in fault_of(no_id, "/<thing_id>")


def test_two_access_marks_are_one_too_many() -> None:
    with pytest.raises(BootError, match="marked both @public and @signed_in"):

        @signed_in
        @public
        def torn() -> None: ...


def test_pages_may_reply_with_text() -> None:
    routes = Routes("plugins.small.views", pages=True)

    @routes.get("/hello")
    @public
    def hello() -> str:
        return "<p>Hello</p>"

    reply = small_board(routes).test_client().get("/api/small/hello")
    assert (reply.text, reply.mimetype) == ("<p>Hello</p>", "text/html")


# -- one unit -------------------------------------------------------------------------------------------------------


def notes_board(servers: Any) -> Flask:
    """A board on the test's own database, with views that write."""
    from shelf.models import Mark

    routes = Routes("plugins.small.views")

    @routes.post("/note")
    @public
    def note(body: NewThing) -> Created[Thing]:
        db.session.add(Mark(note=body.name))
        db.session.flush()
        if body.name == "refused":
            raise Refused(CONFLICT)
        if body.name == "kept":
            raise Refused(CONFLICT, keep=True)
        if body.name == "broken":
            raise RuntimeError("broken")
        promised: Any = Thing(new_id(), body.name) if body.name != "unencodable" else object()
        return Created(promised, location="/x")

    @routes.post("/note-in-steps")
    @public
    @in_steps
    def in_two(body: NewThing) -> None:
        with unit():
            db.session.add(Mark(note="first"))
        with unit():
            db.session.add(Mark(note="second"))
            raise Refused(NOT_FOUND)

    @routes.get("/notes")
    @public
    def notes() -> list[str]:
        assert current_tenant().slug == "default"
        return list(db.session.scalars(sa.select(Mark.note).order_by(Mark.id)))

    return small_board(routes, database_url=servers.database_url)


def test_a_request_is_one_unit_and_its_reply_is_encoded_before_the_commit(board: Flask, servers: Any) -> None:
    app = notes_board(servers)
    http = app.test_client()
    try:
        statuses = {
            name: http.post("/api/small/note", json={"name": name}).status_code
            for name in ("fine", "refused", "kept", "broken", "unencodable")
        }
        assert statuses == {"fine": 201, "refused": 409, "kept": 409, "broken": 500, "unencodable": 500}
        assert http.get("/api/small/notes").json == ["fine", "kept"]
        assert http.post("/api/small/note-in-steps", json={"name": "x"}).status_code == 404
        assert http.get("/api/small/notes").json == ["fine", "kept", "first"]
    finally:
        forget(app)
