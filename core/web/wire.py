"""What gunicorn says by itself, before the board is asked: in the board's words, and without its own name.

``gunicorn.conf.py`` calls ``adopt()``. That is before gevent has patched anything, so this imports next to nothing.
"""

from __future__ import annotations

import socket
from importlib import import_module
from typing import Any
from uuid import uuid4

import msgspec

from core import errors

SERVER = "pegboard"

_CODES = {
    code.status: code
    for code in (
        errors.MALFORMED_REQUEST,
        errors.FORBIDDEN,
        errors.URI_TOO_LONG,
        errors.HEADERS_TOO_LARGE,
        errors.INTERNAL,
        errors.NOT_IMPLEMENTED,
    )
}


def adopt() -> None:
    """Let gunicorn refuse with problem documents, and sign every reply with ``SERVER``."""
    wsgi: Any = import_module("gunicorn.http.wsgi")
    util: Any = import_module("gunicorn.util")
    wsgi.SERVER, util.write_error = SERVER, write_problem


def write_problem(client: socket.socket, status: int, reason: str, message: str) -> None:
    """Refuse what could not be read as a request (RFC 9457). ``message`` repeats the client's bytes: it is left out."""
    code = _CODES.get(status) or (errors.MALFORMED_REQUEST if status < 500 else errors.INTERNAL)
    request_id = uuid4().hex
    problem = {
        "type": f"urn:pegboard:error:{code.name}",
        "title": code.title,
        "status": code.status,
        "code": code.name,
        "detail": code.title,
        "errors": [],
        "request_id": request_id,
    }
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {code.status} {reason if code.status == status else 'Refused'}",
        f"Server: {SERVER}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
        f"X-Request-ID: {request_id}",
    )
    import_module("gunicorn.util").write_nonblock(client, "\r\n".join((*head, "", "")).encode("latin-1") + body)
