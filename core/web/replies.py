"""What a client gets back: JSON by msgspec, problem documents (RFC 9457), entity tags (RFC 9110 §8.8, §13).

A view returns its value, or wraps it where the reply says more: ``Created(book, location=…)``, ``Accepted(…)``,
``Reply(book, etag=etag_of(book.version))``. A problem's ``type`` is ``urn:pegboard:error:<CODE>``: it names the code
and promises no page behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from core import errors
from core.config import BoardSettings
from core.data.faults import as_refusal
from core.errors import INTERNAL, PRECONDITION_FAILED, PRECONDITION_REQUIRED, TOKEN_MISSING, Code, Refused
from core.web.edge import request_id

T = TypeVar("T")
U = TypeVar("U")

log = logging.getLogger(__name__)

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

encode = msgspec.json.Encoder().encode


class Page(msgspec.Struct, Generic[T]):
    """One page of a list: ``next`` is the cursor of the page after it, ``null`` on the last.

    ``count`` is the number of all rows, only where it was asked for (see ``core.web.pages.CountedQuery``).
    """

    items: list[T]
    next: str | None = None
    count: int | msgspec.UnsetType = msgspec.UNSET

    def map(self, make: Callable[[T], U]) -> Page[U]:
        """The same page with each item made into another: rows into what goes over the wire."""
        return Page([make(item) for item in self.items], self.next, self.count)


class Reply(Generic[T]):
    """200 with a body, an entity tag, headers or cookies of its own; ``cookies`` are values of ``Set-Cookie``."""

    status: ClassVar[int] = 200

    def __init__(
        self,
        body: T,
        *,
        etag: str | None = None,
        headers: Mapping[str, str] | None = None,
        cookies: Iterable[str] = (),
    ) -> None:
        self.body = body
        self.headers = dict(headers or {})
        self.cookies = tuple(cookies)
        if etag:
            self.headers["ETag"] = etag


class Created(Reply[T]):
    """201 with the address of what is new."""

    status = 201

    def __init__(
        self,
        body: T,
        *,
        location: str,
        etag: str | None = None,
        headers: Mapping[str, str] | None = None,
        cookies: Iterable[str] = (),
    ) -> None:
        super().__init__(body, etag=etag, headers=headers, cookies=cookies)
        self.headers["Location"] = location


class Accepted(Reply[T]):
    """202 for work that goes on; ``location`` is where to ask how it is getting on."""

    status = 202

    def __init__(
        self,
        body: T,
        *,
        location: str | None = None,
        headers: Mapping[str, str] | None = None,
        cookies: Iterable[str] = (),
    ) -> None:
        super().__init__(body, headers=headers, cookies=cookies)
        if location:
            self.headers["Location"] = location


class NoContent(Reply[None]):
    """204 that has headers or cookies all the same; a view without either returns ``None``."""

    status = 204

    def __init__(self, *, headers: Mapping[str, str] | None = None, cookies: Iterable[str] = ()) -> None:
        super().__init__(None, headers=headers, cookies=cookies)


def respond(value: Any) -> Response:
    """The response for what a view returned: a value, ``Reply`` and its kin, or ``None`` (204)."""
    if isinstance(value, Reply):
        return _wrapped(value)
    return _empty() if value is None else Response(encode(value), 200, content_type=JSON)


def _wrapped(value: Reply[Any]) -> Response:
    if value.status == 204:
        reply = _empty()
        reply.headers.update(value.headers)
    else:
        reply = Response(encode(value.body), value.status, value.headers, content_type=JSON)
    for cookie in value.cookies:
        reply.headers.add("Set-Cookie", cookie)
    return reply


def _empty() -> Response:
    empty = Response(status=204)
    del empty.headers["Content-Type"]
    return empty


# -- problems ---------------------------------------------------------------------------------------------------


class ProblemField(msgspec.Struct, frozen=True):
    """One field that is wrong: where it stands, a code (``core.web.validation.FIELD_CODES``), words for people."""

    field: str
    code: str
    detail: str


class Problem(msgspec.Struct, frozen=True):
    """The body of every error reply (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: tuple[ProblemField, ...]
    request_id: str


def problem(refusal: Refused) -> Response:
    code = refusal.code
    body = Problem(
        type=f"urn:pegboard:error:{code.name}",
        title=code.title,
        status=code.status,
        code=code.name,
        detail=refusal.detail or code.title,
        errors=tuple(ProblemField(*fault) for fault in refusal.fields),
        request_id=request_id(),
    )
    reply = Response(encode(body), code.status, refusal.headers, content_type=PROBLEM_JSON)
    if code.status == 401:
        # RFC 9110 §11.6.1 wants a challenge on every 401; RFC 6750 §3.1 wants no error where no token was sent.
        reply.headers.setdefault("WWW-Authenticate", "Bearer")
    return reply


def of_exception(exc: Exception) -> Response:
    """The problem for whatever was raised. What nobody foresaw is logged with its stack and told as INTERNAL only."""
    if isinstance(exc, Refused):
        return problem(exc)
    if isinstance(exc, HTTPException):
        return _of_http(exc)
    refusal = as_refusal(exc)
    if refusal is not None:
        log.warning("%s: %s", refusal.code.name, type(exc).__name__)
        return problem(refusal)
    log.error("unforeseen %s in %s", type(exc).__name__, request.endpoint, exc_info=exc)
    return problem(Refused(INTERNAL))


def init_app(app: Flask) -> None:
    """Turn everything that is raised anywhere in the app into a problem document."""
    settings: BoardSettings = app.extensions["pegboard.settings"]
    # For forms and raw views; one that takes more says `request.max_content_length = …` itself.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.register_error_handler(Exception, of_exception)
    app.register_error_handler(HTTPException, of_exception)


_BY_STATUS: dict[int, Code] = {
    code.status: code
    for code in (
        errors.MALFORMED_REQUEST,
        TOKEN_MISSING,
        errors.FORBIDDEN,
        errors.NOT_FOUND,
        errors.METHOD_NOT_ALLOWED,
        errors.NOT_ACCEPTABLE,
        errors.CONFLICT,
        PRECONDITION_FAILED,
        errors.BODY_TOO_LARGE,
        errors.URI_TOO_LONG,
        errors.UNSUPPORTED_MEDIA_TYPE,
        errors.RANGE_NOT_SATISFIABLE,
        errors.VALIDATION_FAILED,
        PRECONDITION_REQUIRED,
        errors.RATE_LIMITED,
        errors.HEADERS_TOO_LARGE,
        INTERNAL,
        errors.NOT_IMPLEMENTED,
        errors.BUSY,
    )
}


def _of_http(exc: HTTPException) -> Response:
    """An exception of Werkzeug's: its status and headers (``Allow``, ``Retry-After``), our code and words."""
    if exc.response is not None or exc.code is None or exc.code < 400:
        given: Response = exc.get_response()  # type: ignore[assignment]
        return given
    code = _BY_STATUS.get(exc.code)
    if code is None:
        # Werkzeug's own name for it (GONE, LOCKED): the standard library's change with the version of Python.
        code = Code(exc.name.upper().replace(" ", "_").replace("'", ""), exc.code, exc.name)
    own_words = exc.description if exc.description != type(exc).description else None
    headers = {name: value for name, value in exc.get_headers() if name != "Content-Type"}
    return problem(Refused(code, own_words or "", headers=headers))


# -- entity tags ------------------------------------------------------------------------------------------------


def etag_of(version: int | str | bytes | datetime, *, weak: bool = False) -> str:
    """The ``ETag`` of a version number, a time of change, or the very bytes of a representation."""
    if isinstance(version, datetime):
        version = version.isoformat()
    if isinstance(version, str):
        version = version.encode()
    opaque = blake2b(version, digest_size=12).hexdigest() if isinstance(version, bytes) else str(version)
    return f'{"W/" if weak else ""}"{opaque}"'


def if_match(version: int | str | bytes | datetime, *, required: bool = True) -> None:
    """Go on only if the client has seen this version of what it changes; call it in the view, on a locked row.

    Raises ``Refused``: PRECONDITION_REQUIRED (428) without ``If-Match``, unless it is not ``required``;
    PRECONDITION_FAILED (412) on another version.
    """
    if "If-Match" in request.headers:
        if not request.if_match.contains(etag_of(version).strip('"')):
            raise Refused(PRECONDITION_FAILED, headers={"ETag": etag_of(version)})
    elif required:
        raise Refused(PRECONDITION_REQUIRED)


def not_modified(reply: Response) -> Response:
    """304 in place of a 200 that the client has already (``If-None-Match``); a tag also makes a reply storable."""
    if "ETag" not in reply.headers or reply.status_code != 200 or request.method not in ("GET", "HEAD"):
        return reply
    # Kept by the client alone, asked about each time, and apart for each person and tenant behind one address.
    reply.headers.setdefault("Cache-Control", "private, no-cache")
    reply.vary.update(("Authorization", "Cookie", "X-Tenant-ID"))
    tag, _ = reply.get_etag()
    if tag is not None and request.if_none_match.contains_weak(tag):
        reply.status_code = 304
        reply.set_data(b"")
        for name in ("Content-Type", "Content-Length"):
            reply.headers.pop(name, None)
    return reply
