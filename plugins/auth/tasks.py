"""What accounts leave for later: a welcome, and every message, so that no request shows by its work who exists."""

from __future__ import annotations

from uuid import UUID

from core.background import task
from core.data import in_steps
from core.trust import public
from plugins.auth.services import accounts, invitations, personal, recovery, signups, user_states


@task(retries=5)
@public
def send_welcome(user_id: UUID) -> None:
    accounts.welcome(user_id)


@task(retries=8, retry_delay=2.0)
@public
@in_steps
def mail_signup(signup_id: UUID) -> None:
    signups.mail(signup_id)


@task(retries=8, retry_delay=2.0)
@public
@in_steps
def mail_reset(email: str) -> None:
    recovery.mail_reset(email)


@task(retries=8, retry_delay=2.0)
@public
@in_steps
def mail_new_address(link_id: UUID) -> None:
    recovery.mail_new_address(link_id)


@task(retries=8, retry_delay=2.0)
@public
@in_steps
def mail_address_changed(user_id: UUID, old: str) -> None:
    recovery.mail_address_changed(user_id, old)


@task(retries=8, retry_delay=2.0)
@public
@in_steps
def mail_invitation(link_id: UUID) -> None:
    invitations.mail(link_id)


@task(retries=8, retry_delay=2.0)
@public
@in_steps
def mail_forced_reset(user_id: UUID) -> None:
    user_states.mail_forced_reset(user_id)


@task(retries=20, retry_delay=5.0)
@public
@in_steps
def erase(user_id: UUID) -> None:
    personal.erase(user_id)
