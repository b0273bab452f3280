"""Opening an account, signing in, and one's own account."""

from __future__ import annotations

from core.data import in_steps
from core.trust import current_principal, public, signed_in
from core.web import Created, keyless, limited
from core.web.openapi import refuses
from plugins.auth.api import EMAIL_TAKEN, INVALID_CREDENTIALS, SIGNUP_CLOSED
from plugins.auth.schemas import LogIn, Me, Register, SignedIn
from plugins.auth.services import accounts, people
from plugins.auth.views.routes import routes


def account(body: LogIn) -> str:
    """What attempts upon one account are counted by, however its address is spelled."""
    return people.comparable(body.email)


@routes.post("/register")
@public
@limited("60/minute", by="ip")
@refuses(EMAIL_TAKEN, SIGNUP_CLOSED)
@in_steps
def register(body: Register) -> Created[SignedIn]:
    """Open an account and sign in."""
    return Created(accounts.register(body.email, body.password, body.display_name), location="/api/auth/me")


@routes.post("/login")
@public
@keyless  # a kept reply would hand out a token that has long expired
@limited("120/minute", by="ip")
@limited("20/minute", by=account)
@refuses(INVALID_CREDENTIALS)
@in_steps
def log_in(body: LogIn) -> SignedIn:
    """Sign in with address and password."""
    return accounts.log_in(body.email, body.password)


@routes.get("/me")
@signed_in
@in_steps
def me() -> Me:
    """Who the token belongs to, and what they may do."""
    return accounts.me(current_principal())
