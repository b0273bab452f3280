"""Query strings and path parameters, as the types that a view asks for.

``?limit=5`` becomes an ``int``; a list field takes a parameter that is given repeatedly or, where its annotation says
``Meta(extra=COMMA, extra_json_schema=COMMA)``, one whose values are parted by commas. A malformed id in a path is
404, as any address that leads nowhere: ``/books/7x`` names no more a book than ``/books/<another tenant's id>``.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from msgspec import inspect

from core.errors import MALFORMED_REQUEST, NOT_FOUND, FieldFault, Refused
from core.web.validation import SHOWN, check_storable, fault_of, refusal_of

T = TypeVar("T")

MAX_PARAMETERS = 100
MAX_PATH_TEXT = 1000
COMMA = {"x-comma": True}

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)

_COLLECTIONS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType, inspect.TupleType)


class QueryParser(Generic[T]):
    """Parses query strings of one Struct; made once and kept."""

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind
        shape = inspect.type_info(kind)
        if not isinstance(shape, inspect.StructType):
            raise TypeError(f"a query is described by a Struct, not by {kind!r}")
        self._many = {field.encode_name for field in shape.fields if _holds(field.type, _COLLECTIONS)}
        self._parted = {field.encode_name for field in shape.fields if _is_parted(field.type)}
        named = [(field.encode_name, field.name, field.type) for field in shape.fields]
        self._lacking = {name: attribute for name, attribute, kind in named if _holds(kind, (inspect.NoneType,))}
        self._floats = {name: attribute for name, attribute, kind in named if _holds(kind, (inspect.FloatType,))}

    def __call__(self, query_string: bytes) -> T:
        given: dict[str, Any] = {}
        for name, text in _pairs(query_string):
            if name in self._many:
                given.setdefault(name, []).extend(text.split(",") if name in self._parted else (text,))
            elif name in given:
                raise refusal_of(FieldFault(name[:SHOWN], "REPEATED", "is given more than once"))
            else:
                given[name] = text
        try:
            value = msgspec.convert(given, self.kind, strict=False)
        except msgspec.ValidationError as exc:
            raise refusal_of(fault_of(exc, root="")) from None
        if given:
            check_storable(value, "")
        for name in given.keys() & self._lacking.keys():
            if getattr(value, self._lacking[name]) is None:  # msgspec reads the word "null" as that
                raise refusal_of(FieldFault(name, "WRONG_TYPE", "expected a value: leave it out instead"))
        for name, attribute in self._floats.items():
            number = getattr(value, attribute)
            if isinstance(number, float) and not math.isfinite(number):
                raise refusal_of(FieldFault(name, "OUT_OF_RANGE", "expected a finite number"))
        return value


@lru_cache(maxsize=256)
def query_parser(kind: Any) -> QueryParser[Any]:
    """The parser of a Struct, made on first asking."""
    return QueryParser(kind)


def parse_query(query_string: bytes, kind: type[T]) -> T:
    """A raw query string as ``kind``. Raises ``Refused``: MALFORMED_REQUEST (400) or VALIDATION_FAILED (422)."""
    return cast(T, query_parser(cast(Any, kind))(query_string))


def _pairs(query_string: bytes) -> list[tuple[str, str]]:
    if not query_string:
        return []
    try:
        text = query_string.decode()
        if _BAD_ESCAPE.search(text):
            raise Refused(MALFORMED_REQUEST, "in the query string a % is not followed by two hexadecimal digits")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise Refused(MALFORMED_REQUEST, "the query string is not UTF-8") from None
    except ValueError:
        raise Refused(MALFORMED_REQUEST, f"the query string has more than {MAX_PARAMETERS} parameters") from None


def _holds(kind: inspect.Type, wanted: tuple[type, ...]) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(_holds(part, wanted) for part in kind.types)
    if isinstance(kind, inspect.Metadata):
        return _holds(kind.type, wanted)
    return isinstance(kind, wanted)


def _is_parted(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(_is_parted(part) for part in kind.types)
    return isinstance(kind, inspect.Metadata) and (kind.extra == COMMA or _is_parted(kind.type))


def path_value(text: Any, kind: Any) -> Any:
    """One parameter of the path as ``UUID``, ``int``, ``str`` or what msgspec makes of text; else NOT_FOUND (404)."""
    if not isinstance(text, str):
        return text  # one of Flask's own converters has been here
    if kind is UUID:
        if _UUID.fullmatch(text):
            return UUID(text)
    elif kind is int:
        if _INT.fullmatch(text) and -(2**63) <= int(text) < 2**63:
            return int(text)
    elif len(text) <= MAX_PATH_TEXT and "\0" not in text and "\ufffd" not in text:
        if kind is str:
            return text
        try:
            return msgspec.convert(text, kind, strict=False)
        except msgspec.ValidationError:
            pass
    raise Refused(NOT_FOUND)
