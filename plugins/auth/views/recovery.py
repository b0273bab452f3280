"""Passwords and addresses: changing them, and getting back in without them."""

from __future__ import annotations

from core.data import in_steps
from core.trust import public, signed_in, tenantless
from core.web import Accepted, keyless, limited
from core.web.openapi import refuses
from plugins.auth.api import EMAIL_TAKEN, LINK_INVALID, TOO_MANY_ATTEMPTS, WRONG_PASSWORD
from plugins.auth.callers import network_of
from plugins.auth.schemas import ChangeEmail, ChangePassword, ConfirmEmail, ForgotPassword, ResetPassword, Told
from plugins.auth.services import accounts, links, people, recovery
from plugins.auth.views.calling import at_home, caller, in_tenant
from plugins.auth.views.routes import routes


def account_from_here(body: ForgotPassword) -> str:
    """For everybody together only the messages are counted: nobody closes this way for somebody else."""
    return f"{network_of(caller().ip)} {people.comparable(body.email)}"


@routes.post("/password")
@signed_in
@keyless
@limited("10/minute")
@refuses(WRONG_PASSWORD, TOO_MANY_ATTEMPTS)
@in_steps
def change_password(body: ChangePassword) -> None:
    """Choose another password; you are signed out everywhere else."""
    with at_home() as who:
        accounts.change_password(who, body.current_password, body.new_password, caller())


@routes.post("/password/forgot")
@public
@limited("30/minute", by="ip")
@limited("10/hour", by=account_from_here)
@in_steps
def forgot_password(body: ForgotPassword) -> Accepted[Told]:
    """Have a link mailed that lets you choose another password. The answer never says whether there is an account."""
    return Accepted(recovery.forgot(body.email))


@routes.post("/password/reset")
@public
@tenantless
@limited("30/minute", by="ip")
@refuses(LINK_INVALID)
@in_steps
def reset_password(body: ResetPassword) -> None:
    """Redeem that link: choose another password. You are signed out everywhere."""
    with in_tenant(links.tenant_id_in(body.token)):
        recovery.reset(body.token, body.password, caller())


@routes.post("/email")
@signed_in
@keyless
@limited("10/hour")
@refuses(WRONG_PASSWORD, TOO_MANY_ATTEMPTS)
@in_steps
def change_email(body: ChangeEmail) -> Accepted[Told]:
    """Have a link mailed to another address that you would like to use. The answer never says whether it is free."""
    with at_home() as who:
        return Accepted(recovery.change_email(who, body.email, body.password, caller()))


@routes.post("/email/confirm")
@public
@tenantless
@limited("30/minute", by="ip")
@refuses(LINK_INVALID, EMAIL_TAKEN)
@in_steps
def confirm_email(body: ConfirmEmail) -> None:
    """Redeem that link: the account uses the new address from now on."""
    with in_tenant(links.tenant_id_in(body.token)):
        recovery.confirm_email(body.token, caller())
