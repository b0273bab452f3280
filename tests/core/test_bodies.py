"""JSON bodies and query strings: what is refused, with which code, and at which place."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from flask import Flask, Request
from hypothesis import given, strategies as st
from msgspec import Meta

from core.errors import Refused
from core.web.bodies import MAX_DEPTH, Body, Instant, TolerantBody, parse_body, read_json
from core.web.queries import parse_query, path_value

pytestmark = pytest.mark.unit


class Line(Body):
    note: str | None = None
    amount: Annotated[int, Meta(ge=1, le=9)]


class Order(Body):
    name: Annotated[str, Meta(min_length=1, max_length=5)]
    lines: list[Line] = []
    anything: Any = None
    counts: dict[str, int] = {}
    numbers: dict[int, int] = {}
    ratio: float = 0.0
    kind: Literal["a", "b"] = "a"
    id: UUID | None = None
    at: Instant | None = None
    total: int = 0
    word: Annotated[str, Meta(pattern="^[a-z]+$")] = "a"


class Loose(TolerantBody):
    name: str


def refused(call: Any, *args: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*args)
    return caught.value


MALFORMED = {
    "empty": b"",
    "blank": b"  \n",
    "byte order mark": b'\xef\xbb\xbf{"name":"a"}',
    "cut short": b'{"name":"a',
    "two values": b'{"name":"a"}{}',
    "trailing comma": b'{"name":"a",}',
    "single quotes": b"{'name':'a'}",
    "comment": b'{"name":"a"/**/}',
    "bad UTF-8 in a value": b'{"name":"\xff"}',
    "bad UTF-8 in a key": b'{"na\xffme":"a"}',
    "surrogate as bytes": b'{"name":"\xed\xa0\x80"}',
    "high surrogate alone": b'{"name":"\\ud800"}',
    "low surrogate alone": b'{"name":"\\udc00"}',
    "surrogate in free-form data": b'{"name":"a","anything":"\\ud800!"}',
    "raw NUL": b'{"name":"a\x00"}',
    "raw newline": b'{"name":"a\n"}',
    "NaN": b'{"name":"a","ratio":NaN}',
    "Infinity": b'{"name":"a","ratio":-Infinity}',
    "leading zero": b'{"name":"a","total":01}',
    "too deep": b'{"name":"a","anything":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "100,000 arrays": b'{"name":"a","anything":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 objects": b'{"anything":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 in an unknown field": b'{"name":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 never closed": b"[" * 100_000,
    "100,000 never opened": b"[" * 65 + b"]" * 100_000,
    "deep with strings in between": b'{"name":"\\"[","anything":' + b'["\\\\",' * 100 + b"1" + b"]" * 100 + b"}",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_malformed_json_is_400(raw: bytes) -> None:
    assert refused(parse_body, raw, Order).code.name == "MALFORMED_BODY"


INVALID = [
    (b"[]", "$", "WRONG_TYPE"),
    (b"null", "$", "WRONG_TYPE"),
    (b"{}", "$.name", "REQUIRED"),
    (b'{"name":1}', "$.name", "WRONG_TYPE"),
    (b'{"name":null}', "$.name", "WRONG_TYPE"),
    (b'{"name":""}', "$.name", "WRONG_LENGTH"),
    (b'{"name":"toolong"}', "$.name", "WRONG_LENGTH"),
    (b'{"name":"a","extra":1}', "$.extra", "UNKNOWN_FIELD"),
    (b'{"name":"a","total":"1"}', "$.total", "WRONG_TYPE"),
    (b'{"name":"a","total":1.0}', "$.total", "WRONG_TYPE"),
    (b'{"name":"a","total":true}', "$.total", "WRONG_TYPE"),
    (b'{"name":"a","total":9223372036854775808}', "$.total", "OUT_OF_RANGE"),
    (b'{"name":"a","total":' + b"9" * 5000 + b"}", "$.total", "OUT_OF_RANGE"),
    (b'{"name":"a","anything":[{"deep":-9223372036854775809}]}', "$.anything[0].deep", "OUT_OF_RANGE"),
    (b'{"name":"a","ratio":1e999}', "$.ratio", "OUT_OF_RANGE"),
    (b'{"name":"a","lines":[{"amount":1},{"amount":10}]}', "$.lines[1].amount", "OUT_OF_RANGE"),
    (b'{"name":"a","lines":[{"amount":1},{"note":"x"}]}', "$.lines[1].amount", "REQUIRED"),
    (b'{"name":"a","lines":[{"amount":1,"x":2}]}', "$.lines[0].x", "UNKNOWN_FIELD"),
    (b'{"name":"a","counts":{"x":"1"}}', "$.counts[...]", "WRONG_TYPE"),
    (b'{"name":"a","numbers":{"x":1}}', "$.numbers", "WRONG_TYPE"),
    (b'{"name":"a","kind":"c"}', "$.kind", "NOT_A_CHOICE"),
    (b'{"name":"a","id":"7"}', "$.id", "BAD_FORMAT"),
    (b'{"name":"a","at":"yesterday"}', "$.at", "BAD_FORMAT"),
    (b'{"name":"a","at":"2026-01-01T00:00:00"}', "$.at", "BAD_FORMAT"),
    (b'{"name":"a","at":"0001-01-01T00:00:00+10:00"}', "$.at", "OUT_OF_RANGE"),
    (b'{"name":"a","at":"9999-12-31T23:59:59-10:00"}', "$.at", "OUT_OF_RANGE"),
    (b'{"name":"a","word":"A"}', "$.word", "BAD_FORMAT"),
    (b'{"name":"a\\u0000"}', "$.name", "NUL_CHARACTER"),
    (b'{"name":"a","lines":[{"amount":1,"note":"\\u0000"}]}', "$.lines[0].note", "NUL_CHARACTER"),
    (b'{"name":"a","counts":{"\\u0000":1}}', "$.counts", "NUL_CHARACTER"),
]


@pytest.mark.parametrize(("raw", "field", "code"), INVALID, ids=[str(raw[:40]) for raw, _, _ in INVALID])
def test_what_is_not_acceptable_is_422_with_its_place(raw: bytes, field: str, code: str) -> None:
    refusal = refused(parse_body, raw, Order)
    assert refusal.code.name == "VALIDATION_FAILED"
    assert [(fault.field, fault.code) for fault in refusal.fields] == [(field, code)]
    assert "`" not in refusal.fields[0].detail


def test_what_is_fine_passes() -> None:
    order = parse_body(
        b'{"lines":[{"amount":9}],"name":"\\\\u000","total":-9223372036854775808,"at":"0001-01-01T00:00:00Z"}', Order
    )
    assert order.lines[0].amount == 9
    assert (order.name, order.total) == ("\\u000", -(2**63))
    deepest = b'{"name":"a","anything":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert parse_body(deepest, Order).name == "a"
    wide = b'{"name":"a","anything":[' + b'{"[[[":["]"]},' * 1000 + b"1]}"
    assert len(parse_body(wide, Order).anything) == 1001


def test_of_a_key_that_is_repeated_the_last_one_counts() -> None:
    assert parse_body(b'{"name":"a","name":"b"}', Order).name == "b"


def test_a_tolerant_body_passes_over_what_it_does_not_know() -> None:
    assert parse_body(b'{"other":[1],"name":"a"}', Loose).name == "a"
    assert parse_body(b'{"other":"\\u0000","name":"a"}', Loose).name == "a"
    assert refused(parse_body, b'{"name":"\\u0000"}', Loose).code.name == "VALIDATION_FAILED"


def test_a_fault_repeats_only_so_much_of_what_was_sent() -> None:
    refusal = refused(parse_body, b'{"' + b"x" * 100_000 + b'":1}', Order)
    assert len(refusal.fields[0].field) <= 200
    assert len(refusal.detail) < 500


def test_bodies_are_frozen_and_written_by_keyword() -> None:
    line = Line(amount=1)
    with pytest.raises(AttributeError):
        line.amount = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Line(1)  # type: ignore[arg-type,call-arg]


@given(st.binary(max_size=200))
def test_no_bytes_are_answered_with_anything_but_a_refusal(raw: bytes) -> None:
    try:
        parse_body(raw, Order)
    except Refused as refusal:
        assert refusal.code.status in (400, 422)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*Order.__struct_fields__, "extra"]), JSON_VALUES))
def test_no_json_is_answered_with_anything_but_a_refusal(value: Any) -> None:
    try:
        parse_body(msgspec.json.encode(value), Order)
    except Refused as refusal:
        assert refusal.code.status in (400, 422)


# -- reading ----------------------------------------------------------------------------------------------------


class Broken(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise ValueError("invalid chunk size")


def request_with(raw: bytes, **environ: Any) -> Request:
    facts = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(raw),
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(raw)),
        **environ,
    }
    return Request({name: value for name, value in facts.items() if value is not None})


CHUNKED = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}

UNREADABLE = [
    ({"CONTENT_TYPE": "text/plain"}, "UNSUPPORTED_MEDIA_TYPE"),
    ({"CONTENT_TYPE": ""}, "UNSUPPORTED_MEDIA_TYPE"),
    ({"CONTENT_TYPE": "application/jsonx"}, "UNSUPPORTED_MEDIA_TYPE"),
    ({"CONTENT_TYPE": "application/x-www-form-urlencoded"}, "UNSUPPORTED_MEDIA_TYPE"),
    ({"CONTENT_TYPE": "application/json; charset=latin-1"}, "UNSUPPORTED_MEDIA_TYPE"),
    ({"HTTP_CONTENT_ENCODING": "gzip"}, "UNSUPPORTED_MEDIA_TYPE"),
    ({"CONTENT_LENGTH": "0"}, "MALFORMED_BODY"),
    ({"CONTENT_LENGTH": None}, "MALFORMED_BODY"),
    ({"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}, "MALFORMED_BODY"),
    ({"CONTENT_LENGTH": "99"}, "MALFORMED_BODY"),
    ({"CONTENT_LENGTH": "101"}, "BODY_TOO_LARGE"),
    ({"CONTENT_LENGTH": "99999999999999999999"}, "BODY_TOO_LARGE"),
    ({"CONTENT_LENGTH": "ten"}, "MALFORMED_BODY"),
    ({"wsgi.input": Broken()}, "MALFORMED_BODY"),
    ({**CHUNKED, "wsgi.input": Broken()}, "MALFORMED_BODY"),
    ({**CHUNKED, "wsgi.input": io.BytesIO(b"x" * 101)}, "BODY_TOO_LARGE"),
]


@pytest.mark.parametrize(
    ("environ", "code"), UNREADABLE, ids=[f"{number}-{code}" for number, (_, code) in enumerate(UNREADABLE)]
)
def test_what_cannot_be_read(environ: dict[str, Any], code: str) -> None:
    def read() -> None:
        raw = read_json(request_with(b'{"name":"a"}', **environ), 100)
        parse_body(raw, Order)

    assert refused(read).code.name == code


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON", "application/json;charset=utf-8", 'application/json; charset="UTF-8"'],
)
def test_json_is_known_by_its_type(kind: str) -> None:
    assert read_json(request_with(b"{}", CONTENT_TYPE=kind), 100) == b"{}"


@pytest.mark.parametrize("framing", [{}, CHUNKED], ids=["length", "chunked"])
def test_a_body_may_be_exactly_as_large_as_allowed(framing: dict[str, Any]) -> None:
    assert read_json(request_with(b"x" * 100, **framing), 100) == b"x" * 100


def test_no_more_is_read_than_was_declared() -> None:
    request = request_with(b"{}GET / HTTP/1.1", CONTENT_LENGTH="2")
    assert read_json(request, 100) == b"{}"
    assert request.environ["wsgi.input"].tell() == 2


# -- query strings and paths --------------------------------------------------------------------------------------


class Search(Body):
    text: str = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    tag: list[str] = []
    sizes: Annotated[set[int], Meta(max_length=2)] | None = None
    exact: bool = False
    price: float | None = None
    at: datetime | None = None


def test_query_strings_become_types() -> None:
    found = parse_query(b"text=a+b%20%C3%A9&limit=5&tag=x&tag=y&sizes=1&exact=true&price=1.5", Search)
    assert found == Search(text="a b é", limit=5, tag=["x", "y"], sizes={1}, exact=True, price=1.5)
    assert parse_query(b"", Search) == Search()
    assert parse_query(b"tag=x", Search).tag == ["x"]


BAD_QUERIES = [
    (b"limit=x", "limit", "WRONG_TYPE"),
    (b"limit=", "limit", "WRONG_TYPE"),
    (b"limit=0", "limit", "OUT_OF_RANGE"),
    (b"limit=101", "limit", "OUT_OF_RANGE"),
    (b"limit=1_0", "limit", "WRONG_TYPE"),
    (b"limit=%D9%A5", "limit", "WRONG_TYPE"),
    (b"limit=" + b"9" * 5000, "limit", "OUT_OF_RANGE"),
    (b"limit=1&limit=2", "limit", "REPEATED"),
    (b"sizes=9223372036854775808", "sizes[0]", "OUT_OF_RANGE"),
    (b"sizes=1&sizes=2&sizes=3", "sizes", "WRONG_LENGTH"),
    (b"sizes=1&sizes=x", "sizes[1]", "WRONG_TYPE"),
    (b"exact=maybe", "exact", "WRONG_TYPE"),
    (b"price=nan", "price", "OUT_OF_RANGE"),
    (b"price=-Infinity", "price", "OUT_OF_RANGE"),
    (b"at=soon", "at", "BAD_FORMAT"),
    (b"at=null", "at", "WRONG_TYPE"),
    (b"price=NULL&text=null", "price", "WRONG_TYPE"),
    (b"text=%00", "text", "NUL_CHARACTER"),
    (b"nonsense=1", "nonsense", "UNKNOWN_FIELD"),
    (b"=1", "", "UNKNOWN_FIELD"),
]


@pytest.mark.parametrize(("query", "field", "code"), BAD_QUERIES, ids=[str(query[:30]) for query, _, _ in BAD_QUERIES])
def test_a_parameter_that_is_not_acceptable_is_422(query: bytes, field: str, code: str) -> None:
    refusal = refused(parse_query, query, Search)
    assert refusal.code.name == "VALIDATION_FAILED"
    assert [(fault.field, fault.code) for fault in refusal.fields] == [(field, code)]


@pytest.mark.parametrize(
    "query", [b"a=%zz", b"a=%", b"a=%f", b"a=%ff", b"a=\xff", b"a=%ED%A0%80", b"&".join([b"a=1"] * 101)]
)
def test_a_query_string_that_cannot_be_read_is_400(query: bytes) -> None:
    assert refused(parse_query, query, Search).code.name == "MALFORMED_REQUEST"


@given(st.binary(max_size=100))
def test_no_query_string_is_answered_with_anything_but_a_refusal(query: bytes) -> None:
    for raw in (query, b"price=" + query, b"at=" + query, b"sizes=" + query):
        try:
            parse_query(raw, Search)
        except Refused as refusal:
            assert refusal.code.status in (400, 422)


ID = "0198c2f1-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (ID, UUID, UUID(ID)),
        (ID.upper(), UUID, UUID(ID)),
        ("-5", int, -5),
        ("9223372036854775807", int, 2**63 - 1),
        ("é", str, "é"),
        ("a", Literal["a", "b"], "a"),
        (UUID(ID), UUID, UUID(ID)),
    ],
)
def test_path_parameters_become_types(text: Any, kind: Any, value: Any) -> None:
    assert path_value(text, kind) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("7", UUID),
        (ID.replace("-", ""), UUID),
        (f"{{{ID}}}", UUID),
        (f"urn:uuid:{ID}", UUID),
        (f"{ID}\n", UUID),
        ("", UUID),
        ("five", int),
        ("5.0", int),
        ("+5", int),
        ("005", int),
        ("٥", int),
        ("9223372036854775808", int),
        ("a\0", str),
        ("a\ufffd", str),
        ("a" * 1001, str),
        ("c", Literal["a", "b"]),
    ],
)
def test_a_path_parameter_that_cannot_be_one_leads_nowhere(text: str, kind: Any) -> None:
    assert refused(path_value, text, kind).code.name == "NOT_FOUND"


def test_flask_reads_the_same_bodies() -> None:
    """The same bytes through a real app: ``read_json`` takes what Flask's own request is made of."""
    app = Flask(__name__)

    @app.post("/")
    def echo() -> dict[str, str]:
        from flask import request

        return {"name": parse_body(read_json(request, 100), Order).name}

    assert app.test_client().post("/", json={"name": "a"}).json == {"name": "a"}
