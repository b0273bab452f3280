"""Requests and replies: a view's signature is its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.web.bodies import Body as Body, TolerantBody as TolerantBody
    from core.web.cookies import ACCESS_COOKIE as ACCESS_COOKIE, Cookie as Cookie
    from core.web.csrf import check_origin as check_origin, csrf_token as csrf_token
    from core.web.idempotency import keyless as keyless
    from core.web.openapi import produces as produces, refuses as refuses
    from core.web.pages import CountedQuery as CountedQuery, PageQuery as PageQuery, paginate as paginate
    from core.web.replies import (
        Accepted as Accepted,
        Created as Created,
        NoContent as NoContent,
        Page as Page,
        Reply as Reply,
        etag_of as etag_of,
        if_match as if_match,
    )
    from core.web.resource import Computed as Computed, Many as Many, One as One, Resource as Resource
    from core.web.routes import Routes as Routes
    from core.web.throttling import limited as limited

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "Routes": "core.web.routes:Routes",
        "Resource": "core.web.resource:Resource",
        "Many": "core.web.resource:Many",
        "One": "core.web.resource:One",
        "Computed": "core.web.resource:Computed",
        "Body": "core.web.bodies:Body",
        "TolerantBody": "core.web.bodies:TolerantBody",
        "Created": "core.web.replies:Created",
        "Accepted": "core.web.replies:Accepted",
        "NoContent": "core.web.replies:NoContent",
        "Reply": "core.web.replies:Reply",
        "Page": "core.web.replies:Page",
        "PageQuery": "core.web.pages:PageQuery",
        "CountedQuery": "core.web.pages:CountedQuery",
        "paginate": "core.web.pages:paginate",
        "etag_of": "core.web.replies:etag_of",
        "if_match": "core.web.replies:if_match",
        "keyless": "core.web.idempotency:keyless",
        "Cookie": "core.web.cookies:Cookie",
        "ACCESS_COOKIE": "core.web.cookies:ACCESS_COOKIE",
        "csrf_token": "core.web.csrf:csrf_token",
        "check_origin": "core.web.csrf:check_origin",
        "limited": "core.web.throttling:limited",
        "refuses": "core.web.openapi:refuses",
        "produces": "core.web.openapi:produces",
    },
)
