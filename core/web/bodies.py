"""JSON bodies: read under a cap, then parsed once and strictly by msgspec.

Malformed is 400; well formed but not acceptable is 422 with the field. Of a key that an object repeats the last one
counts, as in browsers. Integers have at most 64 bits and strings no NUL, because PostgreSQL keeps neither.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar, cast, dataclass_transform

import msgspec
from flask import Request
from msgspec import Meta
from werkzeug.http import parse_options_header

from core.errors import BODY_TOO_LARGE, MALFORMED_BODY, UNSUPPORTED_MEDIA_TYPE, Refused
from core.web.validation import SHOWN, check_storable, fault_of, refusal_of

T = TypeVar("T")

MAX_DEPTH = 64

Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time as clients send it: RFC 3339 with ``Z`` or an offset."""


class _ByKeyword(msgspec.StructMeta):
    """msgspec hands ``frozen`` on to subclasses and ``kw_only`` not: here both are, so that a field with a default
    may stand before one without."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> _ByKeyword:
        return super().__new__(mcls, name, bases, namespace, **{"kw_only": True, **options})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Body(msgspec.Struct, metaclass=_ByKeyword, frozen=True, forbid_unknown_fields=True):
    """Base of our own bodies and query strings: a field that is not declared is refused."""


def struct(name: str, base: type[Body], namespace: dict[str, Any]) -> type[Body]:
    """A body that is made while the board boots; ``namespace`` is what would stand in its class."""
    return cast(type[Body], _ByKeyword(name, (base,), namespace))


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class TolerantBody(msgspec.Struct, metaclass=_ByKeyword, frozen=True):
    """Base of what others define (vendors' webhooks, standards): fields that are not declared are passed over."""


# -- reading ----------------------------------------------------------------------------------------------------


MERGE_PATCH = "application/merge-patch+json"


def read_merge_patch(request: Request, cap: int) -> bytes:
    """The raw body of a JSON Merge Patch (RFC 7396), which may also call itself plain JSON. Raises as ``read_json``."""
    if request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == MERGE_PATCH:
        request.environ["CONTENT_TYPE"] = "application/json"
    return read_json(request, cap)


def read_json(request: Request, cap: int) -> bytes:
    """The raw body of a JSON request, at most ``cap`` bytes however it is sent. Raises ``Refused``: 400, 413, 415."""
    if not request.content_length and "HTTP_TRANSFER_ENCODING" not in request.environ:
        raise Refused(MALFORMED_BODY, "send a JSON body")
    kind = request.environ.get("CONTENT_TYPE", "")
    if kind != "application/json":
        _check_type(kind)
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise Refused(UNSUPPORTED_MEDIA_TYPE, "send the body uncompressed", headers={"Accept-Encoding": "identity"})
    return read_capped(request, cap)


def _check_type(header: str) -> None:
    kind, options = parse_options_header(header)
    if kind.lower() != "application/json":
        raise Refused(UNSUPPORTED_MEDIA_TYPE, "send the body as application/json")
    if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise Refused(UNSUPPORTED_MEDIA_TYPE, "JSON is UTF-8 (RFC 8259): leave the charset out")


def read_capped(request: Request, cap: int) -> bytes:
    """The raw body of any request: up to its declared length or, where the server ends it, to its end."""
    length = request.content_length
    if length is None and not request.environ.get("wsgi.input_terminated"):
        return b""
    left = cap + 1 if length is None else length
    if left > cap + 1 or (length is not None and length > cap):
        raise _too_large(cap)
    parts: list[bytes] = []
    while left > 0:
        try:
            part = request.environ["wsgi.input"].read(left)
        except Exception as exc:
            # Whatever the server makes of a broken chunk or a lost connection, it is no fault of ours.
            raise Refused(MALFORMED_BODY, "the body ended early or was badly framed") from exc
        if not part:
            break
        parts.append(part)
        left -= len(part)
    raw = b"".join(parts)
    if len(raw) > cap:
        raise _too_large(cap)
    if length is not None and left:
        raise Refused(MALFORMED_BODY, "the body is shorter than its Content-Length")
    return raw


def _too_large(cap: int) -> Refused:
    return Refused(BODY_TOO_LARGE, f"a body may have at most {cap} bytes here")


# -- parsing ----------------------------------------------------------------------------------------------------

# What check_storable() refuses shows in the bytes: an escaped NUL, many digits, a year at the calendar's end.
_SUSPECT = re.compile(rb'\\u0000|[0-9]{19}|"(?:000|9999)')
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


class BodyParser(Generic[T]):
    """Parses bodies of one type; made once and kept."""

    def __init__(self, kind: type[T]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode

    def __call__(self, raw: bytes) -> T:
        if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _too_deep(raw):
            raise Refused(MALFORMED_BODY, f"the body is nested deeper than {MAX_DEPTH} levels")
        try:
            value = self._decode(raw)
        except msgspec.ValidationError as exc:
            raise refusal_of(fault_of(exc)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Refused(MALFORMED_BODY, f"this is not JSON: {exc}"[:SHOWN]) from None
        if _SUSPECT.search(raw):
            check_storable(value)
        return value


@lru_cache(maxsize=256)
def body_parser(kind: Any) -> BodyParser[Any]:
    """The parser of a type, made on first asking."""
    return BodyParser(kind)


def parse_body(raw: bytes, kind: type[T]) -> T:
    """JSON as ``kind``. Raises ``Refused``: MALFORMED_BODY (400) or VALIDATION_FAILED (422)."""
    return cast(T, body_parser(cast(Any, kind))(raw))


def _too_deep(raw: bytes) -> bool:
    """Whether arrays and objects nest beyond the limit: cut strings out, then remove pairs from the inside."""
    bare = raw.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _NOT_STRUCTURE)
    left = b"".join(bare.split(b'"')[::2]).translate(_BRACKETS)
    for _ in range(MAX_DEPTH):
        left, before = left.replace(b"[]", b""), left
        if not left:
            return False
        if left == before:
            break  # unbalanced: for the decoder to report, unless it would have to dig too deep
    return left.count(b"[") > MAX_DEPTH or b"[]" in left
