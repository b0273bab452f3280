"""How tokens are handed over: in the body or, where a browser asks for it, as cookies."""

from __future__ import annotations

from core.errors import TOKEN_MISSING, Refused
from core.web import Created, Reply
from plugins.auth.schemas import Delivery, Refresh, SignedIn


def reply_to(found: SignedIn, delivery: Delivery) -> Reply[SignedIn]:
    return Reply(found)


def created(found: SignedIn, delivery: Delivery, location: str) -> Created[SignedIn]:
    return Created(found, location=location)


def given_refresh(body: Refresh) -> tuple[str, Delivery]:
    """The refresh token of a request, and how its answer is to come. ``Refused(TOKEN_MISSING)``."""
    if body.refresh_token is None:
        raise Refused(TOKEN_MISSING)
    return body.refresh_token, "json"
