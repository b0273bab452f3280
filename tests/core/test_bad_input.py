"""Whatever a client sends, it gets a 4xx problem with a stable code: never a 500, never a stack, never silence."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings, strategies as st

from core.errors import CATALOGUE
from core.ops.processes import Process

REGISTER = "/api/auth/register"
ALICE = {"email": "alice@example.com", "password": "correct horse battery", "display_name": "Alice"}
JSON = "application/json"
ADDRESSES = cycle(range(256))


@pytest.fixture
def alice(client: FlaskClient) -> dict[str, str]:
    """Headers of someone who is signed in."""
    reply = client.post(REGISTER, json=ALICE)
    return {"Authorization": f"Bearer {reply.json['access_token']}"}


def check(reply: Any, status: int, code: str) -> None:
    """The reply is this problem, whole, and says nothing of what we are made of."""
    assert (reply.status_code, reply.mimetype) == (status, "application/problem+json"), reply.text
    told = json.loads(reply.data)
    assert (told["code"], told["status"], told["type"]) == (code, status, f"urn:pegboard:error:{code}")
    assert told["request_id"] == reply.headers["X-Request-ID"]
    assert code in CATALOGUE
    for word in ("Traceback", 'File "', "werkzeug", "msgspec", "psycopg", "sqlalchemy", "site-packages"):
        assert word not in reply.text


BODIES = [
    ("nothing", b"", 400, "MALFORMED_BODY"),
    ("half", b'{"email":', 400, "MALFORMED_BODY"),
    ("not JSON", b"email=alice", 400, "MALFORMED_BODY"),
    ("an array", b"[]", 422, "VALIDATION_FAILED"),
    ("null", b"null", 422, "VALIDATION_FAILED"),
    ("a field missing", b'{"email":"alice@example.com"}', 422, "VALIDATION_FAILED"),
    ("a wrong type", json.dumps({**ALICE, "password": 12345678}).encode(), 422, "VALIDATION_FAILED"),
    ("an unknown field", json.dumps({**ALICE, "role": "admin"}).encode(), 422, "VALIDATION_FAILED"),
    ("NUL", json.dumps({**ALICE, "display_name": "A\0"}).encode(), 422, "VALIDATION_FAILED"),
    ("NUL in the address", json.dumps({**ALICE, "email": "a\0@example.com"}).encode(), 422, "VALIDATION_FAILED"),
    ("half a surrogate pair", rb'{"email":"\ud800@example.com"}', 400, "MALFORMED_BODY"),
    ("bad UTF-8", json.dumps(ALICE).encode().replace(b"Alice", b"Al\xff"), 400, "MALFORMED_BODY"),
    ("UTF-16", json.dumps(ALICE).encode("utf-16"), 400, "MALFORMED_BODY"),
    ("100,000 brackets", b"[" * 100_000 + b"]" * 100_000, 400, "MALFORMED_BODY"),
    ("100,000 opening brackets", b"[" * 100_000, 400, "MALFORMED_BODY"),
    ("100,000 objects", b'{"email":' * 100_000 + b"1" + b"}" * 100_000, 400, "MALFORMED_BODY"),
    ("a huge number", b'{"email":' + b"9" * 10_000 + b"}", 422, "VALIDATION_FAILED"),
    ("Infinity", b'{"email":Infinity}', 400, "MALFORMED_BODY"),
    ("two megabytes", b'"' + b"x" * 2**21 + b'"', 413, "BODY_TOO_LARGE"),
]


@pytest.mark.parametrize(("body", "status", "code"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
def test_bodies(client: FlaskClient, body: bytes, status: int, code: str) -> None:
    check(client.post(REGISTER, data=body, content_type=JSON), status, code)


@pytest.mark.parametrize(
    ("body", "field", "fault"),
    [
        ({**ALICE, "email": 1}, "$.email", "WRONG_TYPE"),
        ({**ALICE, "role": "admin"}, "$.role", "UNKNOWN_FIELD"),
        ({"email": ALICE["email"]}, "$.password", "REQUIRED"),
        ({**ALICE, "email": "a\0@example.com"}, "$.email", "NUL_CHARACTER"),
    ],
)
def test_the_field_that_is_wrong_is_named(client: FlaskClient, body: Any, field: str, fault: str) -> None:
    (told,) = client.post(REGISTER, json=body).json["errors"]
    assert (told["field"], told["code"]) == (field, fault)


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("kind", ["", "text/plain", FORM, "multipart/form-data", f"{JSON}; charset=latin-1"])
def test_content_types(client: FlaskClient, kind: str) -> None:
    reply = client.post(REGISTER, data=json.dumps(ALICE), content_type=kind)
    check(reply, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_compressed_body(client: FlaskClient) -> None:
    reply = client.post(REGISTER, data=b"\x1f\x8b", content_type=JSON, headers={"Content-Encoding": "gzip"})
    check(reply, 415, "UNSUPPORTED_MEDIA_TYPE")


BAD_IDS = ["7", "x", "null", "%00", "%ff", "%", "%zz", "..%2f..", "0198c2f100007000800000000000000", "é", "a" * 5000]


@pytest.mark.parametrize("given_id", BAD_IDS)
def test_ids_that_are_none(client: FlaskClient, alice: dict[str, str], given_id: str) -> None:
    check(client.get(f"/api/shelf/books/{given_id}", headers=alice), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "VALIDATION_FAILED"),
        ("limit=1000", 422, "VALIDATION_FAILED"),
        ("limit=ten", 422, "VALIDATION_FAILED"),
        ("limit=1&limit=2", 422, "VALIDATION_FAILED"),
        ("limit=" + "9" * 5000, 422, "VALIDATION_FAILED"),
        ("page=2", 422, "VALIDATION_FAILED"),
        ("cursor=x", 400, "INVALID_CURSOR"),
        ("cursor=", 400, "INVALID_CURSOR"),
        ("cursor=%00", 422, "VALIDATION_FAILED"),
        ("limit=%zz", 400, "MALFORMED_REQUEST"),
        ("limit=%ff", 400, "MALFORMED_REQUEST"),
        ("&".join(["limit=1"] * 200), 400, "MALFORMED_REQUEST"),
    ],
)
def test_query_strings(client: FlaskClient, alice: dict[str, str], query: str, status: int, code: str) -> None:
    check(client.get(f"/api/shelf/books?{query}", headers=alice), status, code)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": "Bearer x"}, 401, "TOKEN_INVALID"),
        ({"Authorization": "Bearer " + "x" * 7000}, 401, "TOKEN_INVALID"),
        ({"Authorization": "Basic YTpi"}, 401, "TOKEN_INVALID"),
        ({"Authorization": "Bearer é"}, 401, "TOKEN_INVALID"),
        ({}, 401, "TOKEN_MISSING"),
        ({"X-Tenant-ID": "nobody"}, 404, "UNKNOWN_TENANT"),
        ({"X-Tenant-ID": "é" * 100}, 404, "UNKNOWN_TENANT"),
        ({"Host": ""}, 400, "MISSING_HOST"),
        ({"Host": "a b"}, 400, "MISSING_HOST"),
    ],
)
def test_headers(client: FlaskClient, headers: dict[str, str], status: int, code: str) -> None:
    reply = client.get("/api/auth/me", headers={k: v.encode().decode("latin-1") for k, v in headers.items()})
    check(reply, status, code)


def test_paths_and_methods(client: FlaskClient) -> None:
    check(client.get("/api/nothing"), 404, "NOT_FOUND")
    check(client.get("/api/%ff%00"), 404, "NOT_FOUND")
    reply = client.delete(REGISTER)
    check(reply, 405, "METHOD_NOT_ALLOWED")
    assert "POST" in reply.headers["Allow"]
    check(client.open(REGISTER, method="PROPFIND"), 405, "METHOD_NOT_ALLOWED")


def test_every_route_bears_nonsense(board: Flask, alice: dict[str, str]) -> None:
    """Each route of each plugin, with each kind of bad body and without any: none of them may fail on our side."""
    http = board.test_client()
    tried = 0
    for rule in board.url_map.iter_rules():
        path = rule.rule
        for name in rule.arguments:
            path = path.replace(next(part for part in path.split("/") if f"{name}>" in part), "nonsense")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            for body in (b"", b"[", b"[]", b'{"\\u0000":1}', b"[" * 1000, b"\xff"):
                with http.open(f"{path}?%zz", method=method, data=body, content_type=JSON, headers=alice) as reply:
                    assert reply.status_code < 500, (method, path, body, reply.text)
                tried += 1
    assert tried > 50


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(["email", "password", "display_name", "x"]),
        st.none() | st.integers() | st.text(max_size=20) | st.lists(st.floats(), max_size=3),
    ).map(msgspec.json.encode)
)
def test_no_body_whatever_fails_on_our_side(app: Flask, body: bytes) -> None:
    # Each from another address, or the rate limit would soon be all that answers.
    caller = {"REMOTE_ADDR": f"10.{next(ADDRESSES)}.0.1"}
    reply = app.test_client().post("/api/auth/login", data=body, content_type=JSON, environ_base=caller)
    assert reply.status_code in (400, 401, 422)
    assert reply.mimetype == "application/problem+json"


# -- on the wire, through gunicorn ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wire(app: Flask) -> Iterator[Callable[..., tuple[int, str, bytes]]]:
    """Send raw bytes to a real web process: the status, the code and the whole reply."""
    web = Process("web", {"RATE_LIMIT": "0", "LOG_LEVEL": "ERROR"})
    try:
        web.wait_ready()

        def send(*parts: bytes, finish: bool = True) -> tuple[int, str, bytes]:
            address = urlsplit(web.url)
            assert address.hostname and address.port
            with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
                for part in parts:
                    connection.sendall(part)
                if finish:
                    with contextlib.suppress(OSError):  # it may have answered and closed already
                        connection.shutdown(socket.SHUT_WR)
                reply = b""
                try:
                    while chunk := connection.recv(65536):
                        reply += chunk
                except ConnectionResetError:
                    pass
            body = reply.partition(b"\r\n\r\n")[2]
            code = json.loads(body).get("code", "") if body.startswith(b"{") else ""
            return int(reply.split(b" ", 2)[1]), code, reply

        yield send
        assert "Traceback" not in web.log()
    finally:
        web.close()


Wire = Callable[..., tuple[int, str, bytes]]

HEAD = b"POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
LOGIN = b'{"email":"nobody@example.com","password":"no such password"}'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_chunked_body_is_read_and_capped(wire: Wire) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    status, code, _ = wire(chunked, chunk(LOGIN[:10]), chunk(LOGIN[10:]), b"0\r\n\r\n")
    assert status == 401
    assert code not in ("", "TOKEN_MISSING")
    assert wire(chunked, chunk(b"{"), b"0\r\n\r\n")[:2] == (400, "MALFORMED_BODY")
    assert wire(chunked, *[chunk(b" " * 65536)] * 17, b"0\r\n\r\n")[:2] == (413, "BODY_TOO_LARGE")


def test_a_body_that_is_badly_framed(wire: Wire) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert wire(chunked, b"nonsense\r\n", LOGIN)[:2] == (400, "MALFORMED_BODY")
    assert wire(chunked, chunk(LOGIN)[:20])[:2] == (400, "MALFORMED_BODY")
    assert wire(HEAD + b"Content-Length: 1000\r\n\r\n", LOGIN)[:2] == (400, "MALFORMED_BODY")
    assert wire(HEAD + b"Content-Length: 99999999999\r\n\r\n", LOGIN)[:2] == (413, "BODY_TOO_LARGE")


def test_a_body_longer_than_it_says_is_cut_there(wire: Wire) -> None:
    status, code, _ = wire(HEAD + b"Content-Length: 10\r\n\r\n", LOGIN)
    assert (status, code) == (400, "MALFORMED_BODY")


def test_no_host(wire: Wire) -> None:
    assert wire(b"GET /api/auth/me HTTP/1.1\r\nConnection: close\r\n\r\n")[0] == 400
    assert wire(b"GET /api/auth/me HTTP/1.0\r\n\r\n")[:2] == (400, "MISSING_HOST")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /%ff%00%zz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET /\xff\xfe?\xff HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET //////..//.. HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET http://[bad/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-Many: x\r\n" * 200 + b"\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=lambda raw: str(raw[:40]),
)
def test_requests_that_are_hardly_http(wire: Wire, raw: bytes) -> None:
    status, _, reply = wire(raw)
    assert 300 <= status < 500
    assert b"Traceback" not in reply


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"NONSENSE\r\n\r\n", "MALFORMED_REQUEST"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "URI_TOO_LONG"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n", "HEADERS_TOO_LARGE"),
    ],
    ids=["nonsense", "address", "header"],
)
def test_what_gunicorn_refuses_is_a_problem_too(wire: Wire, raw: bytes, code: str) -> None:
    _, told, reply = wire(raw)
    assert told == code
    assert b"application/problem+json" in reply
    assert b"gunicorn" not in reply
