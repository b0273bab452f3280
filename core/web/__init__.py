"""Requests and replies: a view's signature is its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.web.bodies import Body as Body
    from core.web.bodies import TolerantBody as TolerantBody
    from core.web.idempotency import keyless as keyless
    from core.web.pages import CountedQuery as CountedQuery
    from core.web.pages import PageQuery as PageQuery
    from core.web.pages import paginate as paginate
    from core.web.replies import Accepted as Accepted
    from core.web.replies import Created as Created
    from core.web.replies import Page as Page
    from core.web.replies import Reply as Reply
    from core.web.replies import etag_of as etag_of
    from core.web.replies import if_match as if_match
    from core.web.routes import Routes as Routes
    from core.web.throttling import limited as limited

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "Routes": "core.web.routes:Routes",
        "Body": "core.web.bodies:Body",
        "TolerantBody": "core.web.bodies:TolerantBody",
        "Created": "core.web.replies:Created",
        "Accepted": "core.web.replies:Accepted",
        "Reply": "core.web.replies:Reply",
        "Page": "core.web.replies:Page",
        "PageQuery": "core.web.pages:PageQuery",
        "CountedQuery": "core.web.pages:CountedQuery",
        "paginate": "core.web.pages:paginate",
        "etag_of": "core.web.replies:etag_of",
        "if_match": "core.web.replies:if_match",
        "keyless": "core.web.idempotency:keyless",
        "limited": "core.web.throttling:limited",
    },
)
