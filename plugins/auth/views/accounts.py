"""Opening an account, signing in, and one's own account."""

from __future__ import annotations

from core.data import in_steps
from core.errors import CSRF_FAILED
from core.trust import public, signed_in, tenantless
from core.web import Accepted, Created, Reply, keyless, limited
from core.web.openapi import refuses
from plugins.auth.api import (
    EMAIL_TAKEN,
    INVALID_CREDENTIALS,
    LINK_INVALID,
    RESET_REQUIRED,
    SIGNUP_CLOSED,
    TOO_MANY_ATTEMPTS,
    WRONG_PASSWORD,
)
from plugins.auth.callers import network_of
from plugins.auth.schemas import EditMe, LogIn, Me, Register, SignedIn, Told, Verify
from plugins.auth.services import accounts, links, people, signups
from plugins.auth.views.calling import at_home, caller, in_tenant
from plugins.auth.views.delivery import check_delivery, created, reply_to
from plugins.auth.views.routes import routes


def account_from_here(body: LogIn | Register) -> str:
    """What attempts upon one account are counted by, however its address is spelled.

    From everywhere together they are counted by ``lockout``, which lets those through whom the account knows.
    """
    return f"{network_of(caller().ip)} {people.comparable(body.email)}"


@routes.post("/register")
@public
@limited("60/minute", by="ip")
@limited("20/hour", by=account_from_here)
@refuses(EMAIL_TAKEN, SIGNUP_CLOSED, CSRF_FAILED)
@in_steps
def register(body: Register) -> Created[SignedIn] | Accepted[Told]:
    """Open an account: signed in at once, or after following a mailed link.

    Where addresses are verified, the answer is 202 and the same whether or not the address has an account.
    """
    check_delivery(body.delivery)
    if accounts.signup_mode() == "verify":
        return Accepted(signups.ask(body.email, body.password, body.display_name))
    found = accounts.register(body.email, body.password, body.display_name, caller())
    return created(found, body.delivery, location="/api/auth/me")


@routes.post("/verify")
@public
@tenantless
@limited("30/minute", by="ip")
@refuses(LINK_INVALID, WRONG_PASSWORD, EMAIL_TAKEN, CSRF_FAILED)
@in_steps
def verify(body: Verify) -> Reply[SignedIn]:
    """Redeem the link that registering mailed: the account is opened, and its owner signed in.

    It wants the password that was chosen: whoever registers somebody else's address does not get it confirmed by them.
    """
    check_delivery(body.delivery)
    with in_tenant(links.tenant_id_in(body.token)):
        return reply_to(signups.verify(body.token, body.password, caller()), body.delivery)


@routes.post("/login")
@public
@keyless  # a kept reply would hand out a token that has long expired
@limited("120/minute", by="ip")
@limited("10/minute", by=account_from_here)
@refuses(INVALID_CREDENTIALS, RESET_REQUIRED, TOO_MANY_ATTEMPTS, CSRF_FAILED)
@in_steps
def log_in(body: LogIn) -> Reply[SignedIn]:
    """Sign in with address and password."""
    check_delivery(body.delivery)
    return reply_to(accounts.log_in(body.email, body.password, caller()), body.delivery)


@routes.get("/me")
@signed_in
@in_steps
def me() -> Me:
    """Who the token belongs to, and what they may do."""
    with at_home() as who:
        return accounts.me(who)


@routes.patch("/me")
@signed_in
@in_steps
def edit_me(body: EditMe) -> Me:
    """Change your name."""
    with at_home() as who:
        return accounts.edit(who, body.display_name)
