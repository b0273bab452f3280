"""Forged requests: a browser sends its cookies along with whatever another site makes it ask for.

So what changes something and comes with the access cookie must also carry ``X-CSRF-Token``, which that session's own
pages know and no other page can read or make, and must come from an origin of ours. An ``Authorization`` header needs
neither: no browser adds one by itself.
"""

from __future__ import annotations

from uuid import UUID

from flask import request

from core.contracts import ANONYMOUS, Principal
from core.errors import CSRF_FAILED, Refused
from core.trust import secrets
from core.trust.identity import verify_access_token
from core.web.cookies import ACCESS_COOKIE
from core.web.headers import origin_allowed, origin_ours

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
PURPOSE = "csrf"


def csrf_token(session_id: UUID) -> str:
    """What the pages of a session send as ``X-CSRF-Token``. It holds as long as the session, and may be made again."""
    return secrets.sign(PURPOSE, session_id.bytes)


def by_cookie() -> Principal:
    """Who the access cookie stands for; anonymous without one. Raises ``Refused``: 401, CSRF_FAILED (403)."""
    token = ACCESS_COOKIE.given()
    if token is None:
        return ANONYMOUS
    who = verify_access_token(token)
    check_csrf(who)
    return who


def check_csrf(who: Principal) -> None:
    """Go on only if this request of ``who``, known by cookie, was meant. ``Refused(CSRF_FAILED)`` otherwise."""
    if request.method in SAFE:
        return
    check_origin()
    given = request.environ.get("HTTP_X_CSRF_TOKEN", "")
    try:
        meant = who.session_id is not None and secrets.verify(PURPOSE, given) == who.session_id.bytes
    except secrets.BadSignature:
        meant = False
    if not meant:
        raise Refused(CSRF_FAILED, "X-CSRF-Token is missing, or is not that of this session")


def check_origin() -> None:
    """Refuse what the browser says a page of another origin has sent: ``Refused(CSRF_FAILED)``.

    For a view that sets cookies, or heeds one of its own that no ``X-CSRF-Token`` goes with. API_URL, CLIENT_URL and
    the host that was asked are ours. What says nothing of where it is from passes: every browser of today says it.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin is None:
        ours = site in (None, "none", "same-origin")
    else:
        ours = origin_ours(origin) or origin_allowed(origin) or (site == "same-origin" and _names_host(origin))
    if not ours:
        raise Refused(CSRF_FAILED, "it comes from a page that is neither this board's nor one of CLIENT_URL")


def _names_host(origin: str) -> bool:
    """Whether the page is on the host that it asks, as those of a tenant with a host of its own are."""
    return origin.partition("://")[2] == request.host
