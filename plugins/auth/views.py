"""Parse, call a service, reply."""

from __future__ import annotations

from pathlib import Path

from flask import Response, render_template, send_file

from core.contracts import Principal
from core.data import acting_in, in_steps
from core.errors import TENANT_MISMATCH, UNKNOWN_TENANT
from core.trust import current_principal, public, signed_in, tenantless
from core.web import Created, Routes, keyless, limited
from core.web.edge import tenant_of
from core.web.openapi import refuses
from plugins.auth import services, setup_links
from plugins.auth.api import EMAIL_TAKEN, INVALID_CREDENTIALS, LINK_INVALID, SIGNUP_CLOSED
from plugins.auth.schemas import LogIn, Me, Register, SetUp, SignedIn

routes = Routes(__name__)
pages = Routes(__name__, pages=True)


def account(body: LogIn) -> str:
    """What attempts upon one account are counted by, however its address is spelled."""
    return services.comparable(body.email)


@routes.post("/register")
@public
@limited("60/minute", by="ip")
@refuses(EMAIL_TAKEN, SIGNUP_CLOSED)
@in_steps
def register(body: Register) -> Created[SignedIn]:
    """Open an account and sign in."""
    return Created(services.register(body.email, body.password, body.display_name), location="/api/auth/me")


@routes.post("/login")
@public
@keyless  # a kept reply would hand out a token that has long expired
@limited("120/minute", by="ip")
@limited("20/minute", by=account)
@refuses(INVALID_CREDENTIALS)
@in_steps
def log_in(body: LogIn) -> SignedIn:
    """Sign in with address and password."""
    return services.log_in(body.email, body.password)


@routes.get("/me")
@signed_in
@in_steps
def me() -> Me:
    """Who the token belongs to, and what they may do."""
    return services.me(current_principal())


@routes.post("/setup")
@public
@tenantless
@limited("30/minute", by="ip")
@refuses(LINK_INVALID, TENANT_MISMATCH, UNKNOWN_TENANT)
@in_steps
def set_up(body: SetUp) -> SignedIn:
    """Redeem a link from `flask auth admin`: choose a password, take the role, sign in.

    The tenant is the one that the token names; a host or `X-Tenant-ID` that names another is refused.
    """
    with acting_in(tenant_of(Principal(tenant_id=setup_links.tenant_id_in(body.token)))):
        return setup_links.redeem(body.token, body.password)


@pages.get("/setup")
@public
@tenantless
def set_up_page() -> Response:
    """Where a link from `flask auth admin` leads; the token is in the fragment, which no server sees."""
    return Response(render_template("auth/setup.html"))


@pages.get("/setup.js")
@public
@tenantless
def set_up_script() -> Response:
    """What posts the token and the chosen password."""
    return send_file(Path(__file__).with_name("static") / "setup.js", mimetype="text/javascript")
