"""Bodies that may also come as a form, because a standard says so (OAuth's are ``x-www-form-urlencoded``).

    @routes.post("/introspect")
    @requires("tokens:introspect")
    @form_too
    def introspect(body: Introspect) -> Introspection: ...

The form is read into the same JSON that the client might have sent, so that everything after it is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from flask import Request
from werkzeug.http import parse_options_header

from core.errors import MALFORMED_BODY, Refused
from core.trust.permissions import Marks, marks_of
from core.web.bodies import read_capped, read_json

F = TypeVar("F", bound=Callable[..., Any])

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 100


def form_too(function: F) -> F:
    """The view's body, whose fields are texts, may be sent as JSON or as a form."""
    marks_of(function).notes["form"] = True
    return function


def takes_form(marks: Marks) -> bool:
    return bool(marks.notes.get("form"))


def read_form(request: Request, cap: int) -> bytes:
    """As ``read_json``, also from a form: a name stands once, and one without a value counts as left out (RFC 6749)."""
    if parse_options_header(request.environ.get("CONTENT_TYPE", ""))[0].lower() != FORM:
        return read_json(request, cap)
    try:
        text = read_capped(request, cap).decode("ascii")
        pairs = parse_qsl(text, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refused(MALFORMED_BODY, "the form could not be read") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        raise Refused(MALFORMED_BODY, "a field of the form stands twice")
    return msgspec.json.encode(values)
