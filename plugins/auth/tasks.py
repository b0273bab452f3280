"""What accounts leave for later."""

from __future__ import annotations

from uuid import UUID

from core.background import task
from core.trust import public
from plugins.auth.services import accounts


@task(retries=5)
@public
def send_welcome(user_id: UUID) -> None:
    accounts.welcome(user_id)
