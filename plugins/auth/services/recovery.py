"""A forgotten password, and another address: both by a link that is mailed from a job.

The requests answer alike and do the same work whether or not anybody has the address: what differs is done later.
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from core.background import enqueue
from core.contracts import Mailer, Principal, service
from core.data import db, unit, utcnow
from core.errors import Refused
from plugins.auth.api import LINK_INVALID, WRONG_PASSWORD
from plugins.auth.callers import Caller
from plugins.auth.models import Link, User
from plugins.auth.passwords import chosen
from plugins.auth.schemas import Told
from plugins.auth.services import accounts, events, letters, links, people, sessions

TOLD = Told("If there is such an account, a message with a link is on its way to its address.")
TOLD_NEW = Told("If the address is free, a message with a link is on its way to it.")


def forgot(email: str) -> Told:
    """Have a link mailed to whoever the address belongs to. ``Refused(VALIDATION_FAILED)``. Opens a unit."""
    enqueue("auth.mail_reset", email=people.acceptable(email))
    return TOLD


def mail_reset(email: str) -> None:
    """From a job: the link, if anybody who may sign in has the address. Opens a unit."""
    with unit():
        user = people.find(email)
        if user is None or not user.active or not letters.may_write_to(email):
            return
        letter = _way_in(user)
    service(Mailer).send(**letter)


def _way_in(user: User) -> letters.Letter:
    """A reset or, for who was invited and has no password yet, the invitation anew: roles wait in it."""
    waiting = sa.select(Link).where(Link.user_id == user.id, Link.purpose == links.INVITE, Link.expires_at > utcnow())
    invitation = db.session.scalars(waiting).first() if user.password_hash is None else None
    if invitation is not None and invitation.used_at is None:
        link = links.address(links.INVITE, links.renew(invitation))
        return letters.invitation(user.email, user.display_name, link)
    link = links.address(links.RESET, links.make(user.id, links.RESET))
    return letters.reset(user.email, user.display_name, link)


def reset(token: str, password: str, caller: Caller) -> None:
    """A new password by a mailed link; every session ends. ``Refused``: LINK_INVALID, VALIDATION_FAILED, BUSY."""
    with unit():
        links.find(token, links.RESET)
    digest = chosen(password)
    with unit():
        link = links.use(token, links.RESET)
        user = sessions.locked(link.user_id)
        if not user.active:
            raise Refused(LINK_INVALID)
        user.password_hash, user.must_reset = digest, False
        user.email_verified_at = user.email_verified_at or utcnow()  # the link was mailed to it
        accounts.password_changed(user, events.PASSWORD_RESET, caller)


def change_email(who: Principal, email: str, password: str, caller: Caller) -> Told:
    """Have a link mailed to the new address. ``Refused``: WRONG_PASSWORD, VALIDATION_FAILED, BUSY. Opens units."""
    address = people.acceptable(email)
    known = accounts.confirm(who, password, caller)
    with unit():
        user = sessions.locked(accounts.own(who).id)
        if user.password_hash != known or user.must_reset:
            raise Refused(WRONG_PASSWORD)
        # Kept at once, and given its token by the job: what ends the sessions meanwhile ends this as well.
        link = links.reserve(user.id, links.EMAIL, email=address)
        enqueue("auth.mail_new_address", link_id=link.id)
    return TOLD_NEW


def mail_new_address(link_id: UUID) -> None:
    """From a job: the link to the new address or, where it has an account, word to that. Opens a unit."""
    with unit():
        link = db.session.get(Link, link_id)
        if link is None:
            return
        user = sessions.locked(link.user_id)
        db.session.refresh(link)
        email = link.details["email"]
        if not user.active or user.must_reset or link.used_at is not None or not letters.may_write_to(email):
            return
        if people.find(email) is not None:
            letter = letters.taken(email)
            db.session.delete(link)
        else:
            letter = letters.new_address(email, links.address(links.EMAIL, links.renew(link)))
    service(Mailer).send(**letter)


def confirm_email(token: str, caller: Caller) -> None:
    """Use the new address. ``Refused``: LINK_INVALID, EMAIL_TAKEN. Opens a unit; word goes to the old address."""
    with unit():
        link = links.use(token, links.EMAIL)
        user = sessions.locked(link.user_id)
        if not user.active or user.must_reset:
            raise Refused(LINK_INVALID)
        old, new = user.email, link.details["email"]
        user.email, user.email_verified_at = new, utcnow()
        people.flush_unique()
        events.note(events.EMAIL_CHANGED, caller=caller, user_id=user.id, account=new, before=old)
        links.forget(user.id, links.RESET)
        enqueue("auth.mail_address_changed", user_id=user.id, old=old)


def mail_address_changed(user_id: UUID, old: str) -> None:
    """From a job: tell the address that was left. Opens a unit."""
    with unit():
        user = db.session.get(User, user_id)
    if user is not None:
        service(Mailer).send(
            **letters.address_changed(old, user.display_name, user.email), key=f"auth.left:{user_id}:{old}:{user.email}"
        )
