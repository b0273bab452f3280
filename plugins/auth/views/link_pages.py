"""The pages that mailed and printed links lead to, and the one that asks for such a link.

Plain on purpose: a front end of one's own takes their place with ``APP_URL``. A link does nothing by being opened, for
mail programs open links by themselves: it takes a press of the button, which posts the token.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from flask import Response, render_template, send_file

from core.errors import NOT_FOUND, Refused
from core.trust import public, tenantless
from plugins.auth.views.routes import pages


class LinkPage(NamedTuple):
    """``done`` is told when it went well; ``{email}`` in it is the account's address; ``asks`` for a password."""

    title: str
    endpoint: str
    button: str
    done: str = ""
    token: bool = True
    email: bool = False
    asks: Literal["", "new", "known"] = ""


_SIGN_IN = "Done. {email} can sign in now."

PAGES = {
    "setup": LinkPage("Set up your account", "/api/auth/setup", "Set up", _SIGN_IN, asks="new"),
    "invite": LinkPage("Accept your invitation", "/api/auth/setup", "Accept", _SIGN_IN, asks="new"),
    "verify": LinkPage("Confirm your address", "/api/auth/verify", "Confirm", _SIGN_IN, asks="known"),
    "reset": LinkPage(
        "Choose a new password", "/api/auth/password/reset", "Change it", "Done. Sign in with it.", asks="new"
    ),
    "email": LinkPage(
        "Confirm your new address", "/api/auth/email/confirm", "Confirm", "Done. Your account uses it now."
    ),
    "forgot": LinkPage("Reset your password", "/api/auth/password/forgot", "Send me a link", token=False, email=True),
}


@pages.get("/<page>")
@public
@tenantless
def link_page(page: str) -> Response:
    """Where a link leads; its token is in the fragment, which no server sees."""
    if page not in PAGES:
        raise Refused(NOT_FOUND)
    return Response(render_template("auth/link.html", page=PAGES[page]))


@pages.get("/links.js")
@public
@tenantless
def links_script() -> Response:
    """What posts the token and what was typed."""
    return send_file(Path(__file__).parent.with_name("static") / "links.js", mimetype="text/javascript")
