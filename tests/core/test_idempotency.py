"""Idempotency keys: done once, told again; other bodies refused; a failed request leaves its key free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask, Response, make_response
from shelf.models import Mark
from small_board import forget, small_board, token_for

from core.config import Secret
from core.data.models import db, new_id, utcnow
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.data.unit import in_steps, unit
from core.errors import CONFLICT, Refused
from core.trust.permissions import public, signed_in, tenantless
from core.web.bodies import Body
from core.web.idempotency import KEPT_FOR, MAX_KEPT, purge
from core.web.replies import Created, NoContent, etag_of
from core.web.routes import Routes, keyless

OLD_KEY = Secret("a test's own secret, which is long enough")


class Order(Body):
    note: str


class Done(msgspec.Struct):
    id: UUID
    note: str


class Gate:
    """Holds a view at one place until the test says go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.open.wait(20)


def make_routes(gate: Gate) -> Routes:
    routes = Routes("plugins.small.views")

    def do(note: str) -> Done:
        row = Mark(id=new_id(), note=note)
        db.session.add(row)
        db.session.flush()
        if note == "wait":
            gate.wait()
        if note == "refuse":
            raise Refused(CONFLICT)
        if note == "refuse and keep":
            raise Refused(CONFLICT, keep=True)
        if note == "break":
            raise RuntimeError("broken")
        return Done(row.id, note * (MAX_KEPT if note == "large" else 1))

    @routes.post("/orders")
    @public
    def order(body: Order) -> Created[Done]:
        done = do(body.note)
        return Created(done, location=f"/api/small/orders/{done.id}", etag=etag_of(1))

    @routes.post("/others")
    @public
    def other(body: Order) -> Done:
        return do(body.note)

    @routes.post("/orders/<int:number>")
    @public
    def numbered(number: int, body: Order) -> Done:
        return do(body.note)

    @routes.post("/mine")
    @signed_in
    def mine(body: Order) -> Done:
        return do(body.note)

    @routes.post("/nothing")
    @public
    def nothing() -> None:
        do("nothing")

    @routes.post("/raw")
    @public
    def raw() -> Response:
        do("raw")
        return make_response(b"raw", 202, {"Content-Type": "text/plain"})

    @routes.post("/stream")
    @public
    def stream() -> Response:
        do("stream")
        return Response(iter([b"a", b"b"]), 200)

    @routes.post("/cookie")
    @public
    def cookie() -> Response:
        do("cookie")
        reply = Response(b"signed in")
        reply.set_cookie("secret", "1")
        return reply

    @routes.post("/cookies")
    @public
    def cookies() -> NoContent:
        do("cookie")
        return NoContent(cookies=["secret=1", "other=2"])

    @routes.post("/failing")
    @public
    def failing() -> Response:
        do("failing")
        return Response(status=418)

    @routes.post("/free")
    @public
    @keyless
    def free(body: Order) -> Done:
        return do(body.note)

    @routes.post("/nobodys")
    @public
    @tenantless
    def nobodys() -> None:
        return None

    @routes.post("/steps")
    @public
    @in_steps
    def steps(body: Order) -> Created[Done]:
        with unit():
            done = do(body.note)
        return Created(done, location=f"/api/small/orders/{done.id}")

    @routes.put("/orders")
    @public
    def put(body: Order) -> Done:
        return do(body.note)

    return routes


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def small(board: Any, servers: Any, gate: Gate) -> Iterator[Flask]:
    app = small_board(make_routes(gate), database_url=servers.database_url)
    yield app
    gate.open.set()
    forget(app)


Post = Callable[..., Any]


@pytest.fixture
def post(small: Flask) -> Post:
    def send(path: str, note: str | None = "x", key: str | None = "key-1", **headers: str) -> Any:
        given = {**headers, **({} if key is None else {"Idempotency-Key": key})}
        body = None if note is None else {"note": note}
        return small.test_client().post(f"/api/small/{path}", json=body, headers=given)

    return send


@pytest.fixture
def done(small: Flask) -> Callable[[], list[str]]:
    """What has really been done."""

    def notes() -> list[str]:
        with small.app_context(), acting_in(DEFAULT), unit():
            return list(db.session.scalars(sa.select(Mark.note).order_by(Mark.id)))

    return notes


Notes = Callable[[], list[str]]


# -- once, and told again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["orders", "steps"])
def test_the_same_request_is_done_once_and_answered_alike(post: Post, done: Notes, path: str) -> None:
    first, second = post(path), post(path)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.data == first.data
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers.get("ETag") == first.headers.get("ETag")
    assert second.headers["Content-Type"] == "application/json"
    assert second.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert done() == ["x"]


def test_without_a_key_each_request_counts(post: Post, done: Notes) -> None:
    assert [post("orders", key=None).status_code for _ in range(2)] == [201, 201]
    assert done() == ["x", "x"]


def test_replies_without_json_are_told_again_too(post: Post, done: Notes) -> None:
    for path, status, body in (("nothing", 204, b""), ("raw", 202, b"raw")):
        for _ in range(2):
            reply = post(path, None)
            assert (reply.status_code, reply.data) == (status, body)
        assert reply.headers["Idempotency-Replayed"] == "true"
    assert done() == ["nothing", "raw"]


@pytest.mark.parametrize("path", ["orders", "steps"])
def test_another_body_is_refused(post: Post, done: Notes, path: str) -> None:
    post(path)
    reply = post(path, "y")
    assert (reply.status_code, reply.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert done() == ["x"]


def test_another_address_of_the_same_route_is_refused(post: Post) -> None:
    assert post("orders/1").status_code == 200
    assert post("orders/2").json["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert post("orders/1?a=b").json["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert post("orders/1").headers["Idempotency-Replayed"] == "true"


def test_keys_are_apart_for_each_route_caller_and_tenant(small: Flask, post: Post, done: Notes) -> None:
    alice, bob = token_for(small, new_id()), token_for(small, new_id())
    staff = token_for(small, new_id(), PLATFORM)
    replies = [post("orders"), post("others"), post("mine", **alice), post("mine", **bob), post("mine", **staff)]
    replies.append(post("others", **alice))
    assert all("Idempotency-Replayed" not in reply.headers for reply in replies)
    assert post("mine", **alice).headers["Idempotency-Replayed"] == "true"
    assert post("mine").json["code"] == "TOKEN_MISSING"
    assert len(done()) == 5


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é", "\x7f"])
def test_a_key_is_visible_ascii(post: Post, done: Notes, key: str) -> None:
    reply = post("orders", key=key)
    assert (reply.status_code, reply.json["code"]) == (400, "MALFORMED_REQUEST")
    assert done() == []


def test_the_longest_key(post: Post, done: Notes) -> None:
    assert [post("orders", key="~" * 255).status_code for _ in range(2)] == [201, 201]
    assert done() == ["x"]


def test_routes_that_pass_over_keys(small: Flask, post: Post, done: Notes) -> None:
    assert [post("free").status_code for _ in range(2)] == [200, 200]
    assert [post("nobodys", None, key="é").status_code for _ in range(2)] == [204, 204]
    http, headers = small.test_client(), {"Idempotency-Key": "key-1"}
    for _ in range(2):
        assert http.put("/api/small/orders", json={"note": "x"}, headers=headers).status_code == 200
    assert len(done()) == 4


# -- failures leave the key free ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["orders", "steps"])
@pytest.mark.parametrize(("note", "status"), [("refuse", 409), ("refuse and keep", 409), ("break", 500)])
def test_a_request_that_failed_may_be_sent_again(
    post: Post, done: Notes, superuser: psycopg.Connection[Any], path: str, note: str, status: int
) -> None:
    for _ in range(2):
        reply = post(path, note)
        assert (reply.status_code, reply.headers.get("Idempotency-Replayed")) == (status, None)
    assert superuser.execute("select count(*) from core_idempotency").fetchone() == (0,)
    assert post(path, "x").status_code == 201
    assert done() == [note] * (2 if "keep" in note else 0) + ["x"]


def test_what_is_refused_before_the_view_uses_no_key(post: Post) -> None:
    assert post("orders", None).status_code == 400
    assert post("steps", None).status_code == 400
    assert post("orders").status_code == 201
    assert post("steps").status_code == 201


def test_a_reply_that_tells_of_failure_leaves_the_key_free(post: Post, done: Notes) -> None:
    assert [post("failing", None).status_code for _ in range(2)] == [418, 418]
    assert len(done()) == 2


# -- replies that are not kept ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "note"), [("orders", "large"), ("stream", None), ("cookie", None), ("cookies", None)])
def test_what_is_not_kept_is_still_not_done_twice(post: Post, done: Notes, path: str, note: str | None) -> None:
    first, second = post(path, note), post(path, note)
    assert first.status_code < 300
    assert (second.status_code, second.json["code"]) == (409, "CONFLICT")
    assert "succeeded" in second.json["detail"]
    assert second.headers.get("Location") == first.headers.get("Location")
    assert len(done()) == 1


def test_replies_are_kept_sealed_and_read_after_a_rotation(
    post: Post, small: Flask, servers: Any, superuser: psycopg.Connection[Any]
) -> None:
    first = post("orders", "hunter2")
    (stored,) = superuser.execute("select body from core_idempotency").fetchone() or ()
    assert "hunter2" not in stored

    def again(*keys: Secret) -> Any:
        app = small_board(make_routes(Gate()), database_url=servers.database_url, secret_keys=keys)
        try:
            return app.test_client().post(
                "/api/small/orders", json={"note": "hunter2"}, headers={"Idempotency-Key": "key-1"}
            )
        finally:
            forget(app)

    new_key = Secret("another secret that is also long enough")
    assert again(new_key, OLD_KEY).data == first.data
    assert again(new_key).json["code"] == "CONFLICT"


# -- at the same time -------------------------------------------------------------------------------------------------


def test_the_second_of_two_waits_and_gets_the_first_ones_reply(post: Post, done: Notes, gate: Gate) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, "orders", "wait")
        assert gate.reached.wait(10)
        others = [pool.submit(post, "orders", "wait") for _ in range(4)]
        gate.open.set()
        replies = [call.result(20) for call in (first, *others)]
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.data for reply in replies}) == 1
    assert done() == ["wait"]


def test_the_second_of_two_is_told_when_the_first_takes_long(post: Post, done: Notes, gate: Gate) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, "orders", "wait")
        assert gate.reached.wait(10)
        second = post("orders", "wait")
        assert (second.status_code, second.json["code"]) == (409, "IDEMPOTENCY_IN_PROGRESS")
        assert int(second.headers["Retry-After"]) >= 1
        gate.open.set()
        assert first.result(20).status_code == 201
    assert post("orders", "wait").headers["Idempotency-Replayed"] == "true"
    assert done() == ["wait"]


def test_work_in_steps_is_taken_at_once_and_freed_when_its_process_died(
    post: Post, done: Notes, gate: Gate, superuser: psycopg.Connection[Any]
) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, "steps", "wait")
        assert gate.reached.wait(10)
        second = post("steps", "wait")
        assert (second.status_code, second.json["code"]) == (409, "IDEMPOTENCY_IN_PROGRESS")
        gate.open.set()
        assert first.result(20).status_code == 201
    # As a process leaves it that is killed between its steps:
    superuser.execute("update core_idempotency set status = null, body = null, updated_at = now()")
    assert post("steps", "wait").json["code"] == "IDEMPOTENCY_IN_PROGRESS"
    superuser.execute("update core_idempotency set updated_at = now() - interval '3 minutes'")
    assert post("steps", "wait").status_code == 201
    assert post("steps", "wait").headers["Idempotency-Replayed"] == "true"
    assert done() == ["wait", "wait"]


def test_many_at_once_are_done_once(post: Post, done: Notes) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: post("orders"), range(24)))
    assert {reply.status_code for reply in replies} == {201}
    assert sum("Idempotency-Replayed" in reply.headers for reply in replies) == 23
    assert done() == ["x"]


# -- forgetting -------------------------------------------------------------------------------------------------------


def test_old_keys_are_forgotten_in_every_tenant(small: Flask, post: Post, done: Notes) -> None:
    post("orders", key="old")
    post("mine", key="old-too", **token_for(small, new_id(), PLATFORM))
    with small.app_context():
        assert purge() == 0
        assert purge(now=utcnow() + KEPT_FOR - timedelta(minutes=1)) == 0
        assert purge(limit=1, now=utcnow() + KEPT_FOR) == 2
        assert purge(now=utcnow() + KEPT_FOR) == 0
    post("orders", key="old")
    assert done() == ["x", "x"]
