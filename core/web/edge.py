"""The edge: what a request is called, where it comes from, which tenant its host and headers point at, and its
line in the access log.

``TRUSTED_PROXIES`` says how many proxies stand in front; exactly that many entries of ``X-Forwarded-For`` are
believed, counted from the right. ``X-Forwarded-Host`` is never believed: not every proxy overwrites it.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Iterable
from contextvars import copy_context
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from core import telemetry
from core.config import BoardSettings
from core.contracts import SUPER_ADMIN, Authorizer, Principal, Tenant, TenantDirectory, service
from core.data.tenancy import PLATFORM, acting_in, current_tenant, resolve
from core.data.unit import unit
from core.errors import MALFORMED_REQUEST, MISSING_HOST, TENANT_MISMATCH, UNKNOWN_TENANT, Refused
from core.trust import audit
from core.trust.identity import current_principal
from core.web import headers

log = logging.getLogger("pegboard.access")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET = frozenset({"/livez", "/readyz", "/metrics"})
MAX_REASON = 500


def init_app(app: Flask) -> None:
    settings: BoardSettings = app.extensions["pegboard.settings"]
    app.extensions["pegboard.own_host"] = urlsplit(settings.api_url).hostname or ""
    app.wsgi_app = Edge(app.wsgi_app)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        # Routers append to X-Forwarded-For and overwrite X-Forwarded-Proto, so of that one there is a single value.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=1)  # type: ignore[method-assign]
    app.before_request(_begin)
    app.after_request(_finish)
    headers.init_app(app)


class Edge:
    """WSGI middleware that names the request and cleans its address before anything else sees them."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["pegboard.started"] = time.perf_counter()
        environ["pegboard.request_id"] = telemetry.clean_request_id(environ.get("HTTP_X_REQUEST_ID"))
        before = environ.get("werkzeug.proxy_fix.orig", {})
        environ["REMOTE_ADDR"] = _address(environ.get("REMOTE_ADDR")) or _address(before.get("REMOTE_ADDR"))
        if environ["wsgi.url_scheme"] not in ("http", "https"):
            environ["wsgi.url_scheme"] = before.get("wsgi.url_scheme", "http")
        with telemetry.log_context(request_id=environ["pegboard.request_id"]):
            reply: Iterable[bytes] = self.app(environ, start_response)
            return reply


def request_id() -> str:
    """What the request under way is called in logs and replies."""
    found: str = request.environ.setdefault("pegboard.request_id", telemetry.new_request_id())
    return found


def client_ip() -> str:
    """The caller's address, as far as ``TRUSTED_PROXIES`` lets it be believed; empty over a Unix socket."""
    return request.remote_addr or ""


def _address(text: str | None) -> str:
    """An address in its one spelling, without a port; empty when it is none."""
    text = (text or "").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


# -- which tenant -------------------------------------------------------------------------------------------------


def tenant_of(who: Principal) -> Tenant:
    """The tenant that host, ``X-Tenant-ID`` and the credential's ``tid`` agree upon.

    One disagreement is permitted: whoever holds ``super_admin`` in the tenant ``platform`` acts inside the tenant that
    ``X-Tenant-ID`` names, when ``X-Acting-Reason`` says why (see ``audit_acting``). Opens a unit to find that out.
    Raises ``Refused``: UNKNOWN_TENANT, TENANT_MISMATCH.
    """
    tenant = _tenant_of(who)
    # What the logs say of the request from here on; the Edge takes it back at the end.
    telemetry.log_context(tenant=tenant.id, user=current_principal().id)
    return tenant


def _tenant_of(who: Principal) -> Tenant:
    by_host, by_header = _tenant_of_host(), request.headers.get("X-Tenant-ID")
    if who.tenant_id == PLATFORM.id and by_header:
        inside = resolve(None if by_host and by_host.id == PLATFORM.id else by_host, by_header, None)
        if inside.id != PLATFORM.id:
            _check_staff(who)
            g.pegboard_acting_reason = _acting_reason()
            return inside
    return resolve(by_host, by_header, who.tenant_id)


def _check_staff(who: Principal) -> None:
    """An account in the tenant ``platform`` is not enough: only its role lets anybody into other tenants."""
    with acting_in(PLATFORM), unit():
        if who.kind == "user" and who.id and SUPER_ADMIN in service(Authorizer).roles_of(who.id):
            return
    raise Refused(TENANT_MISMATCH, f"only {SUPER_ADMIN} acts inside another tenant")


def _acting_reason() -> str:
    reason = request.headers.get("X-Acting-Reason", "").strip()
    if not reason:
        raise Refused(TENANT_MISMATCH, "staff who act inside a tenant say why: send X-Acting-Reason")
    if len(reason) > MAX_REASON:
        raise Refused(MALFORMED_REQUEST, f"X-Acting-Reason is longer than {MAX_REASON} characters")
    return reason


def audit_acting() -> None:
    """Where staff act inside a tenant, write that down in its log and in the platform's, whatever comes of it.

    Call it once the request has been counted, and before its own unit of work is opened.
    """
    reason = g.get("pegboard_acting_reason")
    if reason is None:
        return
    inside = current_tenant()
    for tenant in (inside, PLATFORM):
        with acting_in(tenant), unit():
            audit.record(
                "tenants.acted_inside",
                kind="tenant",
                id=inside.id,
                after={"method": request.method, "path": request.path, "request_id": request_id()},
                reason=reason,
            )


def _tenant_of_host() -> Tenant | None:
    """The tenant of a custom domain or of a subdomain of ``BASE_DOMAIN``; ``None`` where the host names none."""
    host = hostname(request.host)
    if host == current_app.extensions["pegboard.own_host"] or _address(host):
        return None
    directory = service(TenantDirectory)
    tenant = directory.by_domain(host)
    if tenant is not None:
        return tenant
    settings: BoardSettings = current_app.extensions["pegboard.settings"]
    slug = host.removesuffix(f".{settings.base_domain.lower()}")
    if not settings.base_domain or slug in (host, "www"):
        return None
    tenant = directory.by_slug(slug)
    if tenant is None:
        raise Refused(UNKNOWN_TENANT, "the host names no tenant of this board")
    return tenant


def hostname(host: str) -> str:
    """A ``Host`` without its port, in lower case and without the root's dot."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.strip("[]").rstrip(".").lower()


def _begin() -> None:
    # Werkzeug makes a malformed host empty, and falls back to the server's own address when there is none.
    if "HTTP_HOST" not in request.environ or not hostname(request.host):
        raise Refused(MISSING_HOST)
    if request.blueprint:
        telemetry.log_context(plugin=request.blueprint.partition(".")[0])


# -- the access log ------------------------------------------------------------------------------------------------


def _finish(reply: Response) -> Response:
    reply.headers["X-Request-ID"] = request_id()
    facts = {
        "method": request.method,
        "path": request.path[:500],
        "route": request.url_rule.rule if request.url_rule else "-",
        "ip": client_ip(),
    }
    started = request.environ.get("pegboard.started", time.perf_counter())
    if reply.is_streamed:
        # By then the request's context is gone: take along what the logs say of it.
        reply.call_on_close(partial(copy_context().run, _note, reply, facts, started))
    else:
        _note(reply, facts, started)
    return reply


def _note(reply: Response, facts: dict[str, Any], started: float) -> None:
    seconds = time.perf_counter() - started
    method = facts["method"] if facts["method"] in METHODS else "OTHER"
    telemetry.count("http_requests_total", method=method, route=facts["route"], status=str(reply.status_code))
    telemetry.observe("http_request_seconds", seconds, route=facts["route"])
    log.log(
        logging.DEBUG if facts["path"] in QUIET else logging.INFO,
        "request",
        extra={**facts, "status": reply.status_code, "ms": round(seconds * 1000, 2)},
    )
