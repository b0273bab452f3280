"""Domain errors, and the catalogue of the codes that clients see.

A service raises ``Refused(CODE, "what was wrong and what to do")``; HTTP turns that into a problem document
(RFC 9457), a socket into an ``error`` frame, a worker into a failed attempt. Codes are stable and upper-case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Code(NamedTuple):
    """One entry of the catalogue: its name, the HTTP status it is told with, and a title for people."""

    name: str
    status: int
    title: str


NAME = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)
CATALOGUE: dict[str, Code] = {}


def declare(name: str, status: int, title: str) -> Code:
    """Add a code to the catalogue (plugins do this in their ``api.py``); a name means one thing only."""
    if not NAME.fullmatch(name):
        raise ValueError(f"error code {name!r} is not upper-case; write it as {_upper(name)!r}")
    if not 400 <= status <= 599:
        raise ValueError(f"error code {name} has the status {status}, which is no error's; take one from 400 to 599")
    code = Code(name, status, title)
    if CATALOGUE.setdefault(name, code) != code:
        raise ValueError(f"error code {name} is already declared with another meaning; choose another name")
    return code


def _upper(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "SHELF_FULL"


MALFORMED_BODY = declare("MALFORMED_BODY", 400, "The body could not be read")
MALFORMED_REQUEST = declare("MALFORMED_REQUEST", 400, "The request could not be read")
MISSING_HOST = declare("MISSING_HOST", 400, "The request names no usable host")
INVALID_CURSOR = declare("INVALID_CURSOR", 400, "The cursor is not one of ours")
TOKEN_MISSING = declare("TOKEN_MISSING", 401, "Sign in first")
TOKEN_INVALID = declare("TOKEN_INVALID", 401, "The token is not valid")
TOKEN_EXPIRED = declare("TOKEN_EXPIRED", 401, "The token has expired")
FORBIDDEN = declare("FORBIDDEN", 403, "Not permitted")
CSRF_FAILED = declare("CSRF_FAILED", 403, "Send X-CSRF-Token with the cookies, from a permitted origin")
TENANT_MISMATCH = declare("TENANT_MISMATCH", 403, "Host, header and credential name different tenants")
NOT_FOUND = declare("NOT_FOUND", 404, "Nothing here")
UNKNOWN_TENANT = declare("UNKNOWN_TENANT", 404, "No such tenant")
METHOD_NOT_ALLOWED = declare("METHOD_NOT_ALLOWED", 405, "The method is not available here")
NOT_ACCEPTABLE = declare("NOT_ACCEPTABLE", 406, "No representation suits the Accept header")
CONFLICT = declare("CONFLICT", 409, "It conflicts with what is there")
IDEMPOTENCY_IN_PROGRESS = declare("IDEMPOTENCY_IN_PROGRESS", 409, "The first request with this key is still running")
PRECONDITION_FAILED = declare("PRECONDITION_FAILED", 412, "It has changed since you read it")
BODY_TOO_LARGE = declare("BODY_TOO_LARGE", 413, "The body is too large")
URI_TOO_LONG = declare("URI_TOO_LONG", 414, "The address is too long")
UNSUPPORTED_MEDIA_TYPE = declare("UNSUPPORTED_MEDIA_TYPE", 415, "The content type is not supported")
RANGE_NOT_SATISFIABLE = declare("RANGE_NOT_SATISFIABLE", 416, "There are no such bytes")
VALIDATION_FAILED = declare("VALIDATION_FAILED", 422, "A value is not acceptable")
UNKNOWN_PERMISSION = declare("UNKNOWN_PERMISSION", 422, "No such permission")
UNKNOWN_ROLE = declare("UNKNOWN_ROLE", 422, "No such role")
IDEMPOTENCY_KEY_REUSED = declare("IDEMPOTENCY_KEY_REUSED", 422, "The key was used with another body")
PRECONDITION_REQUIRED = declare("PRECONDITION_REQUIRED", 428, "Send If-Match with the ETag that you read")
RATE_LIMITED = declare("RATE_LIMITED", 429, "Too many requests")
HEADERS_TOO_LARGE = declare("HEADERS_TOO_LARGE", 431, "The headers are too large")
INTERNAL = declare("INTERNAL", 500, "Something went wrong on our side")
NOT_IMPLEMENTED = declare("NOT_IMPLEMENTED", 501, "Not available on this board")
DATABASE_UNAVAILABLE = declare("DATABASE_UNAVAILABLE", 503, "The database is not reachable")
REDIS_UNAVAILABLE = declare("REDIS_UNAVAILABLE", 503, "Redis is not reachable")
DOCUMENTS_UNAVAILABLE = declare("DOCUMENTS_UNAVAILABLE", 503, "The document store is not reachable")
MIGRATIONS_PENDING = declare("MIGRATIONS_PENDING", 503, "The database is behind this release")
BUSY = declare("BUSY", 503, "Too busy at the moment")
FEATURE_OFF = declare("FEATURE_OFF", 503, "The plugin that does this is not switched on")


class FieldFault(NamedTuple):
    """What is wrong with one field: its path (``$.lines[2].amount``), a code, and words for people."""

    field: str
    code: str
    detail: str


class Refused(Exception):
    """A rule said no. The unit of work rolls back, unless ``keep`` says that its marks must stay.

    ``retry_after`` is in seconds and belongs to 429 and 503.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        fields: Sequence[FieldFault] = (),
        headers: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(f"{code.name}: {detail or code.title}")
        self.code = code
        self.detail = detail
        self.fields = tuple(fields)
        self.headers = dict(headers or {})
        self.keep = keep
        if retry_after is not None:
            self.headers.setdefault("Retry-After", str(retry_after))


class BootError(Exception):
    """The board must not start like this. Every fault is one line that names its place and its cure."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
