"""Mail for a notification, from a worker: no request waits for a mail server, and no transaction stays open."""

from __future__ import annotations

from uuid import UUID

from core.background.tasks import task
from core.contracts import Mailer, UserDirectory, service
from core.data.models import db
from core.data.unit import in_steps, unit
from core.live.notify import Notification
from core.trust.permissions import public


@task(retries=8, retry_delay=2.0)
@public
@in_steps
def notify_mail(notification_id: UUID) -> None:
    """Hand it over under the notification's own key, so that a second run sends nothing twice."""
    with unit():
        row = db.session.get(Notification, notification_id)
        person = service(UserDirectory).by_id(row.user_id) if row else None
    if row is None or person is None or not person.active:
        return
    service(Mailer).send(to=person.email, subject=row.title, text=row.text, key=f"core.notification:{row.id}")
