"""Headers on every reply: who may read it from another origin (CORS), and what a browser may do with it.

A route that knows better sets a header itself; what is set here is only the default.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request

from core.config import BoardSettings

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"

ACCEPTED = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Range, Tus-Resumable, "
    "Upload-Checksum, Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset, "
    "X-Acting-Reason, X-CSRF-Token, X-Request-ID, X-Tenant-ID"
)
EXPOSED = (
    "Content-Disposition, Content-Range, Deprecation, ETag, Idempotency-Replayed, Link, Location, RateLimit, "
    "RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining, RateLimit-Reset, Retry-After, Sunset, "
    "Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Concat, Upload-Defer-Length, "
    "Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, X-Request-ID"
)
PREFLIGHT_SECONDS = 600

API_CSP = "default-src 'none'; frame-ancestors 'none'"
PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS = "max-age=31536000"


def init_app(app: Flask) -> None:
    """Answer preflights and dress every reply. Call it after ``edge.init_app`` has put the request right."""
    settings: BoardSettings = app.extensions["pegboard.settings"]
    app.extensions["pegboard.origins"] = frozenset(_origins(settings.client_url))
    app.extensions["pegboard.own_origin"] = next(iter(_origins((settings.api_url,))))
    app.before_request(_preflight)
    app.after_request(_cors)
    app.after_request(_secure)


def origin_allowed(origin: str | None) -> bool:
    """Whether ``CLIENT_URL`` names this ``Origin``. ``null``, and a header that is absent, are never allowed."""
    return origin in current_app.extensions["pegboard.origins"]


def origin_ours(origin: str | None) -> bool:
    """Whether this ``Origin`` is that of the board's own pages, at ``API_URL``."""
    return bool(origin == current_app.extensions["pegboard.own_origin"])


def _origins(addresses: Iterable[str]) -> Iterable[str]:
    """Origins as browsers spell them (RFC 6454 §6.1): lower case, no path, no default port."""
    for address in addresses:
        parts = urlsplit(address.lower())
        default = {"http": 80, "https": 443}[parts.scheme]
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        yield f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def _preflight() -> Response | None:
    """Answer a browser that asks before it sends: no sign-in, no tenant and no route take part in it."""
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    reply = Response(status=204)
    reply.vary.update(("Access-Control-Request-Method", "Access-Control-Request-Headers"))
    if origin_allowed(request.headers.get("Origin")):
        reply.headers["Access-Control-Allow-Methods"] = METHODS
        reply.headers["Access-Control-Allow-Headers"] = ACCEPTED
        reply.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return reply


def _cors(reply: Response) -> Response:
    if not current_app.extensions["pegboard.origins"]:
        return reply
    # Without this a shared cache could hand one origin's permission, or the lack of it, to another.
    reply.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin is not None and origin_allowed(origin):
        reply.headers["Access-Control-Allow-Origin"] = origin
        reply.headers["Access-Control-Allow-Credentials"] = "true"
        reply.headers["Access-Control-Expose-Headers"] = EXPOSED
    return reply


def _secure(reply: Response) -> Response:
    headers = reply.headers
    given = {name.lower() for name, _ in headers}
    for name, value in ALWAYS.items():
        if name.lower() not in given:  # to ask the headers themselves costs five times as much
            headers.add(name, value)
    headers.setdefault("Content-Security-Policy", PAGE_CSP if reply.mimetype == "text/html" else API_CSP)
    settings: BoardSettings = current_app.extensions["pegboard.settings"]
    if request.is_secure and not settings.development:
        headers.setdefault("Strict-Transport-Security", HSTS)
    if _private() and "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
    return reply


def _private() -> bool:
    """Replies of the API, and any that were given to somebody in particular, belong in no cache."""
    return request.path.startswith("/api/") or "Authorization" in request.headers or bool(request.headers.get("Cookie"))
