"""How tokens are handed over: in the body or, where a browser asks for it, as cookies.

Cookies hold the tokens out of reach of scripts. The reply then tells a ``csrf_token`` in their place, which the page
sends along as ``X-CSRF-Token`` with whatever changes something.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from core.errors import TOKEN_MISSING, Refused
from core.registry import settings_of
from core.web import ACCESS_COOKIE, Cookie, Created, NoContent, Reply, check_origin, csrf_token
from plugins.auth.schemas import Delivery, Refresh, SignedIn

REFRESH_COOKIE = Cookie("pb_refresh", path="/api/auth/refresh")


def reply_to(found: SignedIn, delivery: Delivery) -> Reply[SignedIn]:
    told, cookies = _delivered(found, delivery)
    return Reply(told, cookies=cookies)


def created(found: SignedIn, delivery: Delivery, location: str) -> Created[SignedIn]:
    told, cookies = _delivered(found, delivery)
    return Created(told, location=location, cookies=cookies)


def signed_out() -> NoContent:
    return NoContent(cookies=[ACCESS_COOKIE.clear(), REFRESH_COOKIE.clear()])


def check_delivery(delivery: Delivery) -> None:
    """No page of another origin signs its reader in here: ``Refused(CSRF_FAILED)``."""
    if delivery == "cookies":
        check_origin()


def given_refresh(body: Refresh) -> tuple[str, Delivery]:
    """The refresh token of a request, and how its answer is to come. ``Refused``: TOKEN_MISSING, CSRF_FAILED.

    The cookie wants no ``X-CSRF-Token``: a page that was loaded anew has lost it, and gets it back by this reply.
    """
    if body.refresh_token is not None:
        return body.refresh_token, "json"
    check_origin()
    token = REFRESH_COOKIE.given()
    if token is None:
        raise Refused(TOKEN_MISSING)
    return token, "cookies"


def _delivered(found: SignedIn, delivery: Delivery) -> tuple[SignedIn, list[str]]:
    if delivery == "json" or found.access_token is UNSET or found.refresh_token is UNSET:
        return found, []
    # Both as long as the session may rest: an access token past its time is told as that, and not as missing.
    seconds = settings_of("auth").session_idle_days * 86_400
    cookies = [ACCESS_COOKIE.set(found.access_token, seconds), REFRESH_COOKIE.set(found.refresh_token, seconds)]
    csrf = csrf_token(found.session_id)
    return msgspec.structs.replace(found, access_token=UNSET, refresh_token=UNSET, csrf_token=csrf), cookies
