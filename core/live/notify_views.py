"""What a person reads of their notifications: their own, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from core.errors import NOT_FOUND, Refused
from core.live.notify import Notification, mark_read
from core.trust.identity import current_principal
from core.trust.permissions import signed_in
from core.web.pages import PageQuery, paginate
from core.web.replies import Page
from core.web.routes import Routes

routes = Routes(__name__, url_prefix="/api/notifications")


class NotificationQuery(PageQuery):
    unread: bool = False


class NotificationReply(msgspec.Struct, frozen=True):
    id: UUID
    kind: str
    title: str
    text: str
    data: dict[str, Any]
    read_at: datetime | None
    created_at: datetime


@routes.get("")
@signed_in
def notifications(query: NotificationQuery) -> Page[NotificationReply]:
    """Your notifications, newest first; `unread=true` leaves out those that you have read."""
    rows = sa.select(Notification).where(Notification.user_id == current_principal().id)
    if query.unread:
        rows = rows.where(Notification.read_at.is_(None))
    page = paginate(rows, ((Notification.id, "desc"),), query)
    return Page([msgspec.convert(row, NotificationReply, from_attributes=True) for row in page.items], page.next)


@routes.post("/<uuid:notification_id>/read")
@signed_in
def read(notification_id: UUID) -> None:
    """Note that you have read it; repeating that changes nothing."""
    user_id = current_principal().id
    if user_id is None or not mark_read(user_id, notification_id):
        raise Refused(NOT_FOUND)
